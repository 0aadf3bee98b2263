"""train: one recipe becomes one tracked run, with its model, its histograms and its exact losses.

torch is imported only once the recipe's arithmetic is taken up, by whoever has not imported it before.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any

from reproven.errors import InvalidInput
from reproven.logbooks import journal, logbook, shelf
from reproven.logbooks.delivery import begun, deliver
from reproven.logbooks.interval import OFTEN
from reproven.logbooks.journal import Journal
from reproven.logbooks.logbook import Logbook
from reproven.machine import code, environment
from reproven.own import trust
from reproven.own.named import modules_of, plain_name
from reproven.pages.progress import NOTEBOOK
from reproven.recipes.choices import BUNDLED
from reproven.recipes.options import problems_in_python
from reproven.recipes.recipe import Recipe
from reproven.runs import given
from reproven.store.address import run_of_mlflow, without_credentials
from reproven.store.children import enclosing
from reproven.store.store import Store, address
from reproven.store.tags import BEST_EPOCH, DESCRIPTION, FAILURE, PRUNED
from reproven.values.metrics import worse_than_mean
from reproven.values.model_name import registration_problems
from reproven.values.steps import Watch

if TYPE_CHECKING:
    from reproven.runs.conduct import Prune
    from reproven.training.history import History
    from reproven.training.prepared import Prepared

Say = Callable[[str], None]


@dataclass(frozen=True, kw_only=True, slots=True)
class Trained:
    """What became of a run.

    Attributes:
        run_id: The run's id; as long as no store has it, its logbook's.
        experiment_id: The experiment that it is in; empty as long as no store has it.
        tracking_uri: The store that it is in, or meant for.
        artifact_uri: Where its files are.
        profile: The arithmetic that it was trained in, portable or native.
        metrics: The last value of each metric, of the weights that are kept; train_loss is the last batch's.
        model_uri: The logged model; None where training failed, or as long as no store has it.
        version: The registered version; None where none was asked for.
        failure: Why it failed; None where it did not.
        pruned: Why it was stopped early; None where it was not.
        best_epoch: Epochs completed when the weights stood that are kept; None without patience.
        warning: That it predicts worse than the mean would, and the likely cause; None where it does not.
        remarks: What may not be as it was meant about the table, in sentences.
        offline: Whether it waits for `sync`.
        losses: The loss of every batch, in order, (steps,).
    """

    run_id: str
    experiment_id: str
    tracking_uri: str
    artifact_uri: str
    profile: str
    metrics: dict[str, float]
    model_uri: str | None = None
    version: str | None = None
    failure: str | None = None
    pruned: str | None = None
    best_epoch: int | None = None
    warning: str | None = None
    remarks: tuple[str, ...] = ()
    offline: bool = False
    losses: tuple[float, ...] = field(default=(), repr=False, compare=False)

    @property
    def status(self) -> str:
        """FINISHED, FAILED, or KILLED where it was stopped early; as its store has it."""
        return "FAILED" if self.failure else "KILLED" if self.pruned else "FINISHED"

    def to_dict(self) -> dict[str, Any]:
        """The fields as JSON values, without the losses, which are metrics in the store."""
        found = asdict(replace(self, losses=())) | {"remarks": list(self.remarks)}
        del found["losses"]
        return found

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        from reproven.pages.cards import BAD, GOOD, OPEN, card
        from reproven.training.figures import loss_curve, svg

        why = [text for text in (self.failure, self.pruned, self.warning, *self.remarks) if text]
        facts = {name: f"{value:.6g}" for name, value in self.metrics.items()}
        facts |= {"best epoch": str(self.best_epoch)} if self.best_epoch else {}
        return card(
            f"run {self.run_id}",
            self.status,
            meaning={"FINISHED": GOOD, "FAILED": BAD}.get(self.status, OPEN),
            lines=why,
            facts={**facts, "profile": self.profile, "artifacts": self.artifact_uri},
            picture=svg(loss_curve(self.losses, "training loss")) if self.losses else None,
            then=f"reproven.sync(['{self.run_id}'])" if self.offline else f"reproven.replay('{self.run_id}')",
        )


def train(
    recipe: Recipe,
    *,
    tracking_uri: str | None = None,
    experiment: str | None = None,
    run_name: str | None = None,
    histogram_every: int | None = None,
    checkpoint_every: str | None = None,
    require_clean: bool = False,
    register_model: str | None = None,
    alias: str | None = None,
    offline: bool = False,
    figures: bool = True,
    keep_table: bool | None = None,
    parent: str | None = None,
    logbook_id: str | None = None,
    prune: Prune | None = None,
    watch: Watch = NOTEBOOK.training,
    say: Say = lambda text: None,
) -> Trained:
    """Trains a recipe and tracks it whole.

    Args:
        recipe: What to train; its `data` may be a path.
        tracking_uri: Where to track; None takes MLflow's own choice.
        experiment: The experiment's name; None takes that of the run around it, else Default. An adopted run
            (`mlflow run`) stays in its own.
        run_name: None names the run by network, optimizer and the recipe's digest.
        histogram_every: Epochs between two histograms of the weights; None takes a third of the epochs.
        checkpoint_every: `100steps` or `2epochs` between two checkpoints; None takes an epoch, and a few
            seconds at least.
        require_clean: Refuses to run code that differs from its commit.
        register_model: Registers the model under this name.
        alias: Points this alias at the registered version.
        offline: Asks no store now; `sync` makes the run later, with its original times.
        figures: Whether its figures are drawn; `draw` does it any time later.
        keep_table: Whether its table becomes a file of the run, so that a replay elsewhere needs no other; of
            64 MB at most. None keeps what `recipe_of` was given.
        parent: The run that it is shown under. It is then a run of its own even under `mlflow run`. None
            takes MLflow's active run, where that is in the same store, unless offline.
        logbook_id: Names the logbook, so that it is found again; None takes a new name.
        prune: Asked after each epoch whether to stop: told the epochs completed and the errors after them,
            it says why, or nothing.
        watch: Passes the steps through; what is there shows a line in a notebook.
        say: Told the remarks on the table before the first step.

    Returns:
        The run, FINISHED; FAILED with `failure` set, after a loss that is not finite; or KILLED with
        `pruned` set.

    Raises:
        InvalidInput: The names for the registry, the device or the profile cannot be used, or the code is not
            clean.
        DataError: The table cannot be trained on. Like the above, before a run is created.
        StoreError: The store refuses: at the start, then nothing is trained; or at the end, then `sync`
            sends what is missing.
        DiskError: The logbook cannot be written any more; `resume` goes on.
        KeyboardInterrupt: The process was told to stop; the run is KILLED, and `resume` goes on.
    """
    often = {"histogram_every": histogram_every, "checkpoint_every": checkpoint_every}
    problems = registration_problems(register_model, alias) + problems_in_python(OFTEN, often)
    if not isinstance(recipe, Recipe):
        problems.append(f"recipe is of type {type(recipe).__name__}, but must be a Recipe. Try Recipe().")
    if problems:
        raise InvalidInput(problems)
    trust.trust(*modules_of(recipe.own.values()))  # which whoever names it does
    state = code.code_state()
    if require_clean:
        code.require_clean(state)
    from reproven.runs import conduct
    from reproven.training.history import History, inputs_of
    from reproven.training.prepared import prepare

    made = prepare(recipe)
    if require_clean:
        code.require_own_clean(made.sources)
    table = _kept(made) if keep_table or (keep_table is None and given.is_held(recipe)) else None
    remarks = [*made.dataset.table.remarks, *([table] if isinstance(table, str) else [])]
    for remark in remarks:
        say(remark)
    inputs = inputs_of(made, code.code(state), environment.describe(str(made.recipe.profile)))
    shelf.require_place()
    store = None if offline else Store(tracking_uri)
    if store is not None and parent is None:
        parent, around = enclosing(store)
        experiment = experiment or around
    plan = conduct.planned(
        made,
        state,
        kind=logbook.TRAIN,
        tracking_uri=without_credentials(address(tracking_uri)),
        experiment=experiment or "Default",
        name=run_name or f"{plain_name(recipe.network_name)}-{recipe.optimizer}-{made.recipe.sha256[:8]}",
        histogram_every=histogram_every or math.ceil(made.recipe.epochs / 3),
        parent=parent,
        adopted=run_of_mlflow() if parent is None else None,
        checkpoint_every=checkpoint_every,
        register_model=register_model,
        alias=alias,
        figures=figures,
    )
    held = table if isinstance(table, bytes) else None
    files = conduct.first_files(made, inputs, state, figures=figures, table=held)
    with shelf.new_logbook(plan, files, logbook_id) as book:
        kept = Journal(book.journal)
        trained = carry_through(book, History(made), kept, store, is_new=True, watch=watch, prune=prune)
        return replace(trained, remarks=tuple(remarks))


def _kept(made: Prepared) -> bytes | str | None:
    """The file that holds a run's table, or why there is none, in a sentence; None for a bundled table."""
    from reproven.tables import kept

    table = made.dataset.table
    if table.source in BUNDLED:
        return None
    found = kept.content(table, made.recipe.of_table)
    return found if isinstance(found, bytes) else f"{table.source} is not kept with the run, {found}."


def carry_through(
    book: Logbook,
    history: History,
    kept: Journal,
    store: Store | None,
    *,
    is_new: bool,
    watch: Watch,
    prune: Prune | None = None,
) -> Trained:
    """Trains what is left of a run, from wherever its state stands, and delivers it.

    Args:
        book: The run's logbook, held.
        history: What is trained, and what it found so far.
        kept: The journal, up to where the state stands.
        store: Where to; None leaves that to `sync`.
        is_new: Whether the run begins here.
        watch: Passes the steps through.
        prune: Asked after each epoch whether to stop.

    Raises:
        StoreError, DiskError, KeyboardInterrupt: As for `train`.
    """
    from reproven.runs import conduct

    with begun(book, store, is_new=is_new):
        with conduct.sending(book, history, store.uri if store else None):
            conduct.follow(book, history, kept, watch=watch, prune=prune)
            conduct.conclude(book, history, tags=_last_tags(history), linked={})
        return replace(delivered(book, store), remarks=history.made.dataset.table.remarks)


def delivered(book: Logbook, store: Store | None) -> Trained:
    """Delivers a training that is over, and says what became of it.

    Args:
        book: The run's logbook.
        store: Where to; None leaves that to `sync`.

    Raises:
        StoreError: The store refuses; `sync` sends what is missing.
    """
    end, (lines, _) = book.end, journal.read(book.journal)
    found = {row.key: row.value for row in journal.rows(lines)}
    failure = end.tags.get(FAILURE) if end else None
    is_standardised = bool(book.plan.params.get("standardise_target"))
    trained = Trained(
        run_id=book.id,
        experiment_id="",
        tracking_uri=book.plan.tracking_uri,
        artifact_uri=str(book.files),
        profile=book.plan.params["profile"],
        metrics=found,
        failure=failure,
        pruned=end.tags.get(PRUNED) if end else None,
        best_epoch=int(end.tags[BEST_EPOCH]) if end and BEST_EPOCH in end.tags else None,
        warning=None if failure else worse_than_mean(found, is_standardised=is_standardised),
        offline=True,
        losses=tuple(journal.loss(line) for line in lines if line[0] == journal.STEP),
    )
    if store is None:
        return trained
    sent = deliver(book, store)
    return replace(
        trained,
        run_id=sent.run_id,
        tracking_uri=without_credentials(store.uri),
        experiment_id=sent.experiment_id,
        artifact_uri=sent.artifact_uri,
        model_uri=sent.model_uri,
        version=sent.version,
        offline=False,
    )


def _last_tags(history: History) -> dict[str, str]:
    """The tags that a run has once it is over."""
    best = str(history.best_epoch or "")
    told = {FAILURE: history.failure, PRUNED: history.pruned, BEST_EPOCH: best}
    return {DESCRIPTION: _description(history), **{name: text for name, text in told.items() if text}}


def _description(history: History) -> str:
    """The run page's text, in Markdown; {run_id} stands for the run's id."""
    made, failure = history.made, history.failure
    recipe, table = made.recipe, made.dataset.table
    rows = "\n".join(f"| {name} | {value:.6g} |" for name, value in sorted(history.metrics.items()))
    most = "at most " if recipe.patience is not None else ""
    validation_rows = len(made.dataset.validation_rows)
    validating = f", {validation_rows} for validation" if validation_rows else ""
    layers = f"```\n{made.state.network}\n```"
    outcome = f"**Failed.** {failure}" if failure else f"| metric | last value |\n|---|---|\n{rows}"
    is_standardised = bool(recipe.standardise_target)
    if not failure and (told := worse_than_mean(history.metrics, is_standardised=is_standardised)):
        outcome = f"**{told}**\n\n{outcome}"
    if history.pruned:
        outcome = f"**Pruned.** {history.pruned}\n\n{outcome}"
    if history.best_epoch is not None:
        outcome = f"{_best(history)}\n\n{outcome}"
    back = (
        ""
        if failure
        else "```\nreproven predict {run_id} TABLE.csv\n```\n```python\nreproven.revive('{run_id}')\n```\n"
    )
    return (
        f"**{recipe.network_name}** network, **{recipe.optimizer}**, {most}{recipe.epochs} epochs of batches "
        f"of {recipe.batch_size}, seed {recipe.seed}, on **{table.name}**: {len(table.y)} rows, "
        f"{len(made.dataset.train_rows)} for training{validating}, predicting {table.target_label}.\n\n"
        f"{outcome}\n\n{layers}\n\n{back}\n"
        f"Recipe `{recipe.sha256}`\n\nTable `{table.sha256}`\n"
    )


def _best(history: History) -> str:
    """Which weights were kept, and why no others followed."""
    epochs, best = len(history.epoch_weights), history.best
    by = "" if best is None else f", the best by {best.metric}"
    return f"Trained for {epochs} epochs; keeps the weights after {history.best_epoch}{by}."
