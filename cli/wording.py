"""Texts that are written for a stack file, as an operator at a shell reads them."""

from __future__ import annotations

_AT_A_SHELL = {
    "hf_token (as a secret)": "HF_TOKEN",  # a setting there, a variable here
    "hf_token": "HF_TOKEN",
    "Try again later.": "Check the network, a proxy (HTTPS_PROXY) and HF_ENDPOINT; or try again later.",
}


def for_operators(text: str) -> str:
    """The same, in the words of a shell."""
    for written, typed in _AT_A_SHELL.items():
        text = text.replace(written, typed)
    return text
