"""The program: stack settings -> one ModelServingStack a model -> exports."""

import pulumi

from components.program import declare

declare(pulumi.Config())
