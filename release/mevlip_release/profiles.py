"""What a challenge demands of a container: its line, its limits, and how much it asks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from mevlip.core.errors import EnvironmentProblem, fault_text

Positive = Annotated[float, Field(gt=0)]


class Profile(BaseModel):
    """How organizers run a container, as `docker container run` would be told."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    name: str
    """The challenge."""
    command: str = "sh predict.sh"
    """What `/bin/bash -c` runs in the image's working directory."""
    memory: Annotated[str, Field(pattern="^[0-9]+[kmg]$")]
    """Main memory, as `--memory` takes it."""
    gpu_gb: Positive | None = None
    """Memory of its GPU in GB; None where it has none, or nobody said."""
    image_gb: Positive | None = None
    """Most GB that the image may take; None for no limit."""
    cases: Annotated[int, Field(gt=0)]
    """How many questions it asks."""
    seconds_per_case: Positive | None = None
    """Most seconds per question, loading included; None for no limit."""
    network: bool = True
    """Whether the container has a network."""
    user: Annotated[str, Field(pattern="^[0-9]+(:[0-9]+)?$")] | None = None
    """User and group ids that it runs as; None for the image's own."""

    def replace(self, **changes: object) -> Profile:
        """The same with some fields changed.

        Raises:
            EnvironmentProblem: A field cannot have such a value.
        """
        return _validated({**self.model_dump(), **changes}, "The profile")

    @property
    def uid(self) -> int:
        """The user that its output has to belong to."""
        return int((self.user or "0").partition(":")[0])


# The lines and the image limit are those of published submissions to the two challenges; their organizers' own pages
# were not at hand. Neither names a time limit. `cases` are the hidden validation questions.
PROFILES = {
    profile.name: profile
    for profile in (
        Profile(name="flare2025", memory="28g", gpu_gb=24, cases=1_959),
        Profile(name="flare2026", memory="48g", gpu_gb=48, image_gb=35, cases=4_335, network=False),
    )
}


_FIELDS = f"The fields are {', '.join(Profile.model_fields)}; name, memory and cases are required."


def find_profile(name: str) -> Profile:
    """A profile by its name, or from a JSON file.

    Args:
        name: One of `PROFILES`, or the path of a JSON file with the fields of `Profile`.

    Raises:
        EnvironmentProblem: The name is unknown, or the file is not a valid profile.
    """
    if name in PROFILES:
        return PROFILES[name]
    path = Path(name)
    if not path.is_file():
        raise EnvironmentProblem(f"Unknown profile {name!r}", f"Name {', '.join(PROFILES)} or a JSON file.")
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise EnvironmentProblem(f"{path} cannot be read as JSON ({error})", _FIELDS) from error
    return _validated(content, str(path))


def _validated(content: object, owner: str) -> Profile:
    try:
        return Profile.model_validate(content)
    except ValidationError as error:
        told = "; ".join(f"{'.'.join(map(str, one['loc'])) or 'all'}: {fault_text(one)}" for one in error.errors())
        raise EnvironmentProblem(f"{owner} is not valid ({told})", _FIELDS) from error
