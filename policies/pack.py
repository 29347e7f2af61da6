"""From the table of rules to the policies of Pulumi's policy pack."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from pulumi_policy import (
    EnforcementLevel,
    Policy,
    PolicyConfigSchema,
    PolicyResource,
    ReportViolation,
    ResourceValidationArgs,
    ResourceValidationPolicy,
    Secret,
    StackValidationArgs,
    StackValidationPolicy,
)
from pulumi_policy.proxy import UNKNOWN_STRING_VALUE, UnknownValueError, _is_unknown

from .declared import PROVIDER, declared
from .resources import ENDPOINT, NOT_KNOWN, SESSION, NotApplicable, Resource, Stack, ValueNotKnown
from .rule import Rule

_COMPONENT = "backendai:serving:ModelServingStack"


class _Reporter:
    """What the settings have shown isn't said again when the resource comes; a resource's own is always said."""

    def __init__(self) -> None:
        self._declared: set[str] = set()
        self._waiting: set[str] = set()

    def begin(self) -> None:
        """A run begins, or its update after its preview."""
        self._declared.clear()
        self._waiting.clear()

    def declared(self, rule: Rule, about: Resource | Stack, args: _Args, report: ReportViolation) -> None:
        """About settings: what they are about comes again, with all its values."""
        with suppress(NotApplicable):
            for message, _urn in rule.messages(about, args.get_config())[0]:
                if message not in self._declared:  # replicas are alike
                    self._declared.add(message)
                    report(message, None)

    def real(self, rule: Rule, about: Resource | Stack, args: _Args, report: ReportViolation) -> None:
        try:
            found, unknown = rule.messages(about, args.get_config())
        except NotApplicable as reason:
            args.not_applicable(str(reason))  # raises
            return
        for message, urn in found:
            if message not in self._declared:
                report(message, urn or None)
        if unknown is not None and unknown.path not in self._waiting:
            self._waiting.add(unknown.path)
            # Pulumi tells the user that the rule is asked again at `up`, when the value is known.
            raise UnknownValueError(UNKNOWN_STRING_VALUE, unknown.path.split("."))


type _Args = ResourceValidationArgs | StackValidationArgs


def policies(rules: Sequence[Rule]) -> list[Policy]:
    """A policy a rule."""
    return [_StackPolicy(rule) if not rule.on else _resource_policy(rule) for rule in rules]


def _resource_policy(rule: Rule) -> ResourceValidationPolicy:
    reporter = _Reporter()
    remedied: set[str] = set()  # filled when the rule's level is `remediate`: then its remedy comes before the check

    def validate(args: ResourceValidationArgs, report: ReportViolation) -> None:
        if args.resource_type == PROVIDER:
            reporter.begin()
            stack = None if remedied else declared(plain(args.props))
            for resource in (*stack.sessions, *stack.endpoints) if stack else ():
                if resource.kind in rule.on:
                    reporter.declared(rule, resource, args, report)
        elif args.resource_type in rule.on:
            reporter.real(rule, resource_of(args), args, report)

    def remediate(args: ResourceValidationArgs) -> Any:  # its declared type knows of awaitables only
        if args.resource_type == PROVIDER:
            remedied.add(PROVIDER)
        if args.resource_type not in rule.on or rule.remedy is None:
            return None
        try:
            about = resource_of(args)
            changes = rule.remedy(about, rule.limits_of(args.get_config()))
        except ValueNotKnown as unknown:
            raise UnknownValueError(UNKNOWN_STRING_VALUE, [unknown.path]) from None
        # The given mapping, changed in place, keeps secrets secret and unknown values unknown.
        for key, value in changes.items():
            _say_changed(rule, about, key, value)
            args.props[key] = value  # type: ignore[index]
        return args.props if changes else None

    return ResourceValidationPolicy(
        rule.name, rule.says, validate, **_about(rule), remediate=remediate if rule.remedy else None
    )


def _say_changed(rule: Rule, about: Resource, key: str, value: Any) -> None:
    """On stderr, which Pulumi shows among the stack's messages: a remedy itself has no text."""
    before = about.props.get(key)
    was = "not set" if before is None else f"{before:g}" if isinstance(before, (int, float)) else str(before)
    now = f"{value:g}" if isinstance(value, (int, float)) else str(value)
    print(f"{about.name}: {key} was {was} and is {now} now (policy {rule.name}).", file=sys.stderr, flush=True)


class _StackPolicy(ResourceValidationPolicy, StackValidationPolicy):
    """One policy, asked twice: about the settings, before anything exists, and about the stack at the end."""

    def __init__(self, rule: Rule) -> None:
        Policy.__init__(self, rule.name, rule.says, **_about(rule))
        self._rule, self._reporter = rule, _Reporter()

    def has_validation(self) -> bool:
        return True

    def has_remediation(self) -> bool:
        return False

    def validate(self, args: Any, report_violation: ReportViolation) -> None:
        if isinstance(args, StackValidationArgs):
            self._reporter.real(self._rule, stack_of(args.resources), args, report_violation)
        elif args.resource_type == PROVIDER:
            self._reporter.begin()
            if stack := declared(plain(args.props)):
                self._reporter.declared(self._rule, stack, args, report_violation)


def _about(rule: Rule) -> dict[str, Any]:
    schema = PolicyConfigSchema({key: limit.schema for key, limit in rule.limits.items()}) if rule.limits else None
    return {"enforcement_level": EnforcementLevel(rule.level.value), "config_schema": schema}


def resource_of(args: ResourceValidationArgs) -> Resource:
    parent = args.opts.parent or ""
    return Resource(
        args.resource_type,
        args.name,
        plain(args.props),
        urn=args.urn,
        group=parent if f"{_COMPONENT}::" in parent else "",
        secret_outputs=frozenset(args.opts.additional_secret_outputs),
    )


def stack_of(resources: Iterable[PolicyResource]) -> Stack:
    """The whole stack, in the order of names."""
    found: dict[str, list[Resource]] = {SESSION: [], ENDPOINT: []}
    for resource in resources:
        if resource.resource_type in found:
            parent = resource.parent
            group = parent.urn if parent is not None and parent.resource_type == _COMPONENT else ""
            of_property = (r for rs in resource.property_dependencies.values() for r in rs)
            links = frozenset(r.urn for r in (*resource.dependencies, *of_property))
            props = plain(resource.props)
            found[resource.resource_type].append(
                Resource(resource.resource_type, resource.name, props, resource.urn, group, links)
            )
    sessions, endpoints = (sorted(found[kind], key=lambda r: r.name) for kind in (SESSION, ENDPOINT))
    return Stack(tuple(sessions), tuple(endpoints))


def plain(value: Any) -> Any:
    """Pulumi's proxies as plain data, with a mark where a value isn't known."""
    if isinstance(value, Secret):
        return plain(value.value)
    if isinstance(value, Mapping):
        return {key: _item(value, key) for key in value}
    if isinstance(value, Sequence) and not isinstance(value, (str, bytes)):
        return [_item(value, index) for index in range(len(value))]
    return NOT_KNOWN if _is_unknown(value) else value


def _item(container: Any, key: Any) -> Any:
    try:
        return plain(container[key])
    except UnknownValueError:
        return NOT_KNOWN
