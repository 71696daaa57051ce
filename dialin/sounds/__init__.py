# SPDX-License-Identifier: GPL-3.0-or-later
"""Which file a caller hears for which prompt, in which language and codec.

Everything is looked up and checked once, at the start; during a call a prompt is a table entry. A
prompt is never silence: what a language lacks is said in another one, and what none has is a tone.
Playing the files is left to `media`, saying the right thing at the right time to `call` and
`visit`, making the files to `scripts/render-prompts`.

An operator's folder is laid out as this package is: `<language>/<prompt>.<pcmu|pcma|g722>`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from dialin.errors import OperatorError
from dialin.events import Codec
from dialin.sounds.ids import (
    LANGUAGE_CHOICES,
    SPOKEN,
    TONES,
    PromptId,
    how_many,
)

__all__ = [
    "FRAME_BYTES",
    "LANGUAGE_CHOICES",
    "PACKAGE",
    "SPOKEN",
    "TONE",
    "TONES",
    "PromptId",
    "Prompts",
    "built_in_languages",
    "how_many",
]

PACKAGE = Path(__file__).parent
FRAME_BYTES = 160
"""Octets in 20 ms: all three codecs make 8000 a second (RFC 3551 §4.5.2, §4.5.14)."""
TONE = "tone"
"""The folder of what is not speech."""
LANGUAGE = re.compile(r"[a-z]{2,3}(-[A-Za-z0-9]{2,8})*")
"""A language tag (RFC 5646, the simple forms); it becomes the name of a folder."""


class Prompts:
    """The clips of one service, chosen from the operator's folders and this package."""

    def __init__(self, languages: Sequence[str], folders: Sequence[Path] = ()) -> None:
        """Find every clip. Raises OperatorError for what only the operator can mend.

        `languages` are the service's, its default first; `folders` the operator's: the first
        that has a prompt wins.
        """
        self.languages = tuple(languages)
        """The languages callers can be greeted in, the default first."""
        self._folders = (*folders, PACKAGE)
        self._check_languages()
        self._check_folders()
        self._check_files()
        tone = self._find(PromptId.BEEP, (TONE,))
        if tone is None:
            raise OperatorError(
                f"{PACKAGE / TONE} holds no {PromptId.BEEP}.", "Install dialin anew."
            )
        self._stems = {
            (language, prompt): self._find(prompt, self._order(language, prompt)) or tone
            for language in self.languages
            for prompt in PromptId
        }

    def clip(self, prompt: PromptId, language: str | None, codec: Codec) -> Path:
        """The raw frames of `prompt` in `codec`; an unknown language means the default."""
        stem = self._stems.get((language or "", prompt)) or self._stems[self.languages[0], prompt]
        return clip_file(stem, codec)

    @property
    def gaps(self) -> tuple[tuple[str, PromptId], ...]:
        """What cannot be said in its own language: (language, prompt), for `dialin check`."""
        return tuple(
            (language, prompt)
            for (language, prompt), stem in self._stems.items()
            if stem.parent.name != language and (prompt in SPOKEN or stem.name != prompt)
        )

    def _order(self, language: str, prompt: PromptId) -> tuple[str, ...]:
        """Where to look for a prompt: its language, the others in order, the tones."""
        if prompt in TONES:
            return (TONE,)
        if prompt in LANGUAGE_CHOICES:  # another language would offer itself
            return (language,)
        return (language, *(other for other in self.languages if other != language))

    def _find(self, prompt: PromptId, order: Sequence[str]) -> Path | None:
        stems = (folder / place / prompt for place in order for folder in self._folders)
        return next((stem for stem in stems if _size(clip_file(stem, Codec.PCMU))), None)

    def _check_languages(self) -> None:
        bad = [language for language in self.languages if not LANGUAGE.fullmatch(language)]
        if bad or not self.languages:
            raise OperatorError(
                f"Not a list of language tags: {list(self.languages)}.",
                'Name at least one, as in languages = ["de", "en"].',
            )

    def _check_folders(self) -> None:
        for folder in self._folders:
            if not folder.is_dir():
                raise OperatorError(
                    f"The folder of prompts {folder} does not exist.",
                    "Make it, or name another one.",
                )
        for language in self.languages:
            if not any((folder / language).is_dir() for folder in self._folders):
                raise OperatorError(
                    f"There are no prompts for the language {language!r}.",
                    "Put recordings into a folder of that name, or leave the language out.",
                )

    def _check_files(self) -> None:
        """A prompt is there in each codec or not at all, and in whole frames."""
        missing: list[str] = []
        for stem in self._possible_stems():
            sizes = {codec: _size(clip_file(stem, codec)) for codec in Codec}
            lacking = [str(clip_file(stem, codec)) for codec in Codec if sizes[codec] is None]
            if len(lacking) < len(Codec):
                missing += lacking
            for codec, size in sizes.items():
                if size is not None and (size == 0 or size % FRAME_BYTES):
                    raise OperatorError(
                        f"{clip_file(stem, codec)} is not made of whole 20 ms frames.",
                        f"Make it anew: raw {codec}, a multiple of {FRAME_BYTES} octets.",
                    )
        if missing:
            raise OperatorError(
                f"Missing beside their like in other codecs: {', '.join(missing)}.",
                "Add them: each prompt needs its .pcmu, .pcma and .g722.",
            )

    def _possible_stems(self) -> Iterator[Path]:
        for folder in self._folders:
            yield from (
                folder / language / prompt for language in self.languages for prompt in SPOKEN
            )
            yield from (folder / TONE / prompt for prompt in TONES)


def built_in_languages() -> tuple[str, ...]:
    """The languages that come with dialin."""
    names = (manifest.parent.name for manifest in PACKAGE.glob("*/manifest.toml"))
    return tuple(sorted(name for name in names if name != TONE))


def clip_file(stem: Path, codec: Codec) -> Path:
    """Where a prompt is kept in one codec; `stem` is its path without an ending."""
    return stem.with_name(f"{stem.name}.{codec.lower()}")


def _size(path: Path) -> int | None:
    """Octets in a file, None where there is none."""
    try:
        return path.stat().st_size
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise OperatorError(
            f"{path} cannot be read: {error.strerror}.", "Mend its rights."
        ) from None
