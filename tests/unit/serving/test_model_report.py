"""The invariant: one report a request, in order; a Hub that doesn't answer is a warning, never a verdict."""

import threading

import httpx

from serving import GatedModel, InvalidArgument, ModelNotFound, ModelRequest, preflight

from .hub_double import APPROVED, SHA, Hub


def test_reports_come_in_the_order_of_the_requests(hub: Hub) -> None:
    reports = preflight(
        [
            ModelRequest("a", "org/open", max_model_len=4096),
            ModelRequest("b", "org/none"),
            ModelRequest("c", "org/awq", quantization="awq"),
            ModelRequest("d", "org/gated"),
            ModelRequest("e", "https://huggingface.co/org/gated", token=APPROVED),
        ]
    )
    assert [(r.name, r.ok) for r in reports] == [
        ("a", True),
        ("b", False),
        ("c", True),
        ("d", False),
        ("e", True),
    ]
    assert isinstance(reports[1].problems[0], ModelNotFound)
    assert isinstance(reports[3].problems[0], GatedModel)
    assert (reports[0].sha, reports[0].longest_max_model_len, reports[0].warnings) == (SHA, 4096, ())
    assert (reports[1].sha, reports[1].longest_max_model_len) == (None, None)


def test_the_same_model_is_asked_for_once(hub: Hub) -> None:
    reports = preflight([ModelRequest(str(n), "org/open", tensor_parallel_size=n) for n in (1, 2, 3)])
    assert [report.ok for report in reports] == [True, True, False]
    assert len(hub.requests) == len(set(hub.paths)) <= 4


def test_models_are_asked_for_side_by_side(hub: Hub) -> None:
    together = threading.Barrier(3, timeout=10)

    class Together(Hub):
        def __call__(self, request: httpx.Request) -> httpx.Response:
            if request.url.path.startswith("/api/"):
                together.wait()
            return super().__call__(request)

    import huggingface_hub

    double = Together(hub.repos)
    huggingface_hub.set_client_factory(lambda: httpx.Client(transport=httpx.MockTransport(double)))
    reports = preflight([ModelRequest(name, f"org/{name}") for name in ("open", "awq", "gptq")])
    assert [report.problems for report in reports] == [(), (), ()]


def test_an_unreachable_hub_is_a_warning_that_says_what_was_not_checked(hub: Hub) -> None:
    hub.always = httpx.ConnectError("x")
    (report,) = preflight([ModelRequest("a", "org/open", quantization="awq")])
    assert report.ok
    assert report.facts is None
    (warning,) = report.warnings
    assert "no connection" in warning and "Not checked" in warning and "quantization" in warning


def test_what_is_no_model_is_a_problem_and_a_folder_is_not(hub: Hub) -> None:
    bad, folder = preflight([ModelRequest("a", "s3://x/y"), ModelRequest("b", "/models/mine")])
    assert isinstance(bad.problems[0], InvalidArgument)
    assert folder.ok
    assert "folder" in folder.warnings[0]
    assert hub.requests == []


def test_an_address_brings_its_revision_and_the_setting_goes_before_it(hub: Hub) -> None:
    address = "https://huggingface.co/org/open/tree/nope"
    wrong, right = preflight([ModelRequest("a", address), ModelRequest("b", address, revision="main")])
    assert wrong.problems[0].key == "revision"
    assert right.ok


def test_a_bad_version_is_a_problem_of_its_model(hub: Hub) -> None:
    (report,) = preflight([ModelRequest("a", "org/open", vllm_version="newest")])
    assert [problem.key for problem in report.problems] == ["vllm_version"]


def test_a_token_shows_in_no_text(hub: Hub) -> None:
    request = ModelRequest("a", "org/gated", token="hf_secret_secret")
    (report,) = preflight([request])
    assert not report.ok
    assert "hf_secret_secret" not in repr(request) + repr(report) + str(report.problems)
