"""Names for the model registry, checked before anything is trained. It imports no MLflow."""

from __future__ import annotations

RESERVED = "latest"


def registration_problems(
    name: str | None, alias: str | None, *, option: str = "register_model"
) -> list[str]:
    """What the registry would refuse of a model's name and an alias, a message each.

    Args:
        name: The registered model's name.
        alias: The alias.
        option: What the messages call the name.

    Source: https://mlflow.org/docs/latest/ml/model-registry/ (aliases may not be `latest` or `v<number>`)
    """
    problems = []
    if name is not None and (not name.strip() or not name.isprintable() or set(name) & set("/:@")):
        problems.append(
            f"{option} is {name!r}, but must be a name without /, : and @. "
            f"Try --{option.replace('_', '-')} boston-mlp."
        )
    if alias is not None and name is None:
        problems.append(f"alias is {alias!r}, but no model is registered. Add --register-model NAME.")
    elif alias is not None and not _is_alias(alias):
        problems.append(
            f"alias is {alias!r}, but must be letters, digits, _ or -, and neither {RESERVED} nor a "
            "number with or without v before it. Try --alias champion."
        )
    return problems


def _is_alias(alias: str) -> bool:
    letters = alias.replace("-", "").replace("_", "")
    reserved = alias.lower() == RESERVED or alias.lower().removeprefix("v").isdigit()
    return letters.isascii() and letters.isalnum() and not reserved
