"""What `euds run` does with labels, if it is asked to."""

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from euds.cli.jobs import progress_for, read_like_inputs, request_of, share_in
from euds.cli.options import (
    LabelOptions,
    OutputOptions,
    ReadingOptions,
    ScoringOptions,
    SelectingOptions,
)
from euds.errors import OptionError

if TYPE_CHECKING:
    import polars as pl

    from euds.pool.pool import Pool
    from euds.progress import Ledger
    from euds.proof.holdout import HoldOut
    from euds.selection.selection import Selection

__all__ = ["AUTO", "Labelled"]

AUTO = "auto"

_RANDOM = {"rule": "random", "interval": None, "soft": False, "use_labels": False}


@dataclass
class Labelled:
    """The answers of one run that need labels; does nothing that was not asked for.

    Parameters
    ----------
    options : LabelOptions
        What is asked for.
    reading, scoring, selecting, output
        The other options of the run.
    """

    options: LabelOptions
    reading: ReadingOptions
    scoring: ScoringOptions
    selecting: SelectingOptions
    output: OutputOptions
    findings: dict[str, Any] = field(default_factory=dict)
    _held: "HoldOut | None" = None
    _left_out: "pl.DataFrame | None" = None
    _recorded: dict[str, Any] | None = None
    _asked: dict[str, Any] = field(default_factory=dict)

    def request(self) -> dict[str, Any]:
        """Return what `select` is asked for; refuse what makes no sense, before anything is read.

        An automatic budget stands there as a share that will do for now.
        """
        self._check()
        asked = self.selecting
        if asked.keep == AUTO:
            asked = replace(asked, keep="0.5")
        elif self._is_timed:
            if asked.keep is None and asked.keep_tokens is None:
                asked = replace(asked, keep="0.5", keep_seconds=None)
            self._check_timed()
        self._asked = request_of(asked)
        return self._asked

    @property
    def _is_timed(self) -> bool:
        """Whether a budget in seconds is given, and it is to be found out what a row takes."""
        return self.selecting.keep_seconds is not None and self.selecting.row_seconds is None

    def _check_timed(self) -> None:
        if self.scoring.task is None:
            raise OptionError(
                "what training takes a row cannot be timed without a task",
                where="--keep-seconds",
                next_step="tell it, --row-seconds 0.05, all epochs together; or name a --task",
            )
        from euds.proof.planning.training_time import check_seconds

        check_seconds(self.selecting.keep_seconds or 0.0, of="training")

    def _check(self) -> None:
        if self.options.pilot:
            self._check_pilot()
        if not self.options.certify:
            return
        from euds.proof.certify import check_alpha
        from euds.proof.prove import make_proof_settings
        from euds.proof.training.trainers import trainer_named

        check_alpha(self.options.alpha)
        share_in(self.options.validation, option="--validation")
        settings = make_proof_settings(**self._settings())
        trainer_named(settings.trainer, settings.trainer_options)
        if self.selecting.rule in ("random-stratified", "full"):
            raise OptionError(
                f"the rule {self.selecting.rule} needs no certificate",
                where="--certify",
                expected="a rule to compare with random-stratified",
            )

    def _check_pilot(self) -> None:
        """Refuse what random rows, which may be all that is kept, could not do."""
        from euds.proof.planning.learning_curve import check_margin

        check_margin(self.options.margin)
        asked = self.selecting
        if asked.rule in ("random", "random-stratified", "full"):
            raise OptionError(
                f"the rule {asked.rule} needs no pilot",
                where="--pilot",
                expected="a rule that may be better than random rows",
                next_step="leave out --pilot; 'euds pilot' tells the same without a run",
            )
        ruled_out = {
            "--keep-tokens": asked.keep_tokens is not None,
            "--interval": any(one != AUTO for one in asked.interval or ()),
            "--target": asked.target is not None,
            "--quota se_option": (asked.quota or "").startswith("se_option="),
        }
        if given := [option for option, is_given in ruled_out.items() if is_given]:
            raise OptionError(
                "random rows may be all that a pilot leaves, and they cannot do this",
                where="--pilot",
                got=", ".join(given),
                expected="a budget in rows, as a share or in seconds, and no bounds",
                next_step=f"leave out --pilot or {given[0]}",
            )

    def prepare(self, pool: "Pool", ledger: "Ledger") -> "Pool":
        """Do what comes before scoring: set the validation part aside, find the budget, pilot.

        Returns
        -------
        Pool
            The rows that are scored and selected from.
        """
        if self.options.certify:
            pool = self._set_aside(pool, ledger)
        if self.selecting.keep == AUTO:
            self._find_budget(pool, ledger)
        elif self._is_timed:
            self._time_training(pool, ledger)
        if self.options.pilot:
            self._pilot(pool, ledger)
        return pool

    def _set_aside(self, pool: "Pool", ledger: "Ledger") -> "Pool":
        from dataclasses import asdict

        import polars as pl

        from euds.proof.holdout import hold_out
        from euds.proof.tasks import proof_task_named
        from euds.runs.replaying.recording import hold_out_recorded, other_recorded

        asked = self.options.validation
        part: float | Pool | None = share_in(asked, option="--validation")
        closed = proof_task_named(str(self.scoring.task)).kind == "class"
        with ledger.stage("near-duplicates"):
            if part is None:
                part = read_like_inputs(asked, self.reading, option="--validation")
            self._held = hold_out(pool, part, closed_labels=closed, seed=self.output.seed)
        self._recorded = hold_out_recorded(
            part
            if isinstance(part, float)
            else other_recorded(asked, asdict(self.reading), part.texts),
            closed_labels=closed,
            seed=self.output.seed,
        )
        self._left_out = self._held.left_out(pool).with_columns(
            pl.col("reason").replace({"test set": "validation part"})
        )
        progress = progress_for(quiet=self.output.quiet)
        progress.note(
            f"{len(self._held.test):,} rows set aside to validate on, {len(self._held.pool):,} to "
            f"select from"
        )
        for reason, rows in self._held.taken_out.items():
            progress.note(f"{rows:,} rows taken out of the pool: {reason}")
        progress.close()
        return self._held.pool

    def _find_budget(self, pool: "Pool", ledger: "Ledger") -> None:
        from euds.proof.planning.smallest_keep import smallest_keep

        found = smallest_keep(pool, **self._probing(ledger))
        self.findings["smallest_keep"] = found.results

    def _probing(self, ledger: "Ledger") -> dict[str, Any]:
        """Return what probes on random rows are asked."""
        return {
            "margin_points": self.options.margin,
            "seed": self.output.seed,
            "encoder": self.options.train_encoder,
            "precision": self.scoring.precision,
            "ledger": ledger,
            "progress": progress_for(quiet=self.output.quiet),
        }

    def _time_training(self, pool: "Pool", ledger: "Ledger") -> None:
        from euds.proof.planning.training_time import training_time

        with ledger.stage("timing"):
            found = training_time(
                pool,
                self.selecting.keep_seconds or 0.0,
                task=self.scoring.task,
                encoder=self.options.train_encoder,
                precision=self.scoring.precision,
            )
        self.findings["training_time"] = found.results

    def _pilot(self, pool: "Pool", ledger: "Ledger") -> None:
        from euds.proof.planning.pilot import pilot
        from euds.selection.request import DEFAULT_KEEP, check_asked

        asked = self._with_budget(self._asked)
        if asked["rule"] == "full":
            self._note("every row is kept, so there is nothing to pilot")
            return
        found = pilot(
            pool,
            keep=DEFAULT_KEEP if asked["keep"] is None else asked["keep"],
            **self._probing(ledger),
        )
        will_do = found.can_help == "no"
        self.findings["pilot"] = {**found.results, "delivered": "random" if will_do else None}
        if will_do:
            rule = check_asked(asked, score_names=()).rule.name
            self._note(
                f"the pilot says that selecting can hardly help here, so random rows are kept "
                f"instead of those of the rule {rule}, and no language model was asked"
            )

    def _note(self, text: str) -> None:
        self.findings.setdefault("notes", []).append(text)

    @property
    def _random_will_do(self) -> bool:
        """Whether random rows take the place of what the rule would choose."""
        return "pilot" in self.findings and self.findings["pilot"]["delivered"] is not None

    def scores_left(self) -> tuple[str, ...] | None:
        """Return the scores that suffice for random rows; None where all that were asked do."""
        return ("ie",) if self._random_will_do else None

    def with_findings(self, request: dict[str, Any]) -> dict[str, Any]:
        """Return the request with the budget that was found, and random rows if they will do."""
        request = self._with_budget(request)
        return {**request, **_RANDOM} if self._random_will_do else request

    def _with_budget(self, request: dict[str, Any]) -> dict[str, Any]:
        if timed := self.findings.get("training_time"):
            return {**request, "keep": timed["rows"]}
        found = self.findings.get("smallest_keep")
        if found is None:
            return request
        if found["keep"] == 1:  # every row, which no other rule promises
            everything = {"rule": "full", "keep": None, "interval": None, "use_labels": False}
            return {**request, **everything}
        return {**request, "keep": found["rows"]}

    def deliver(
        self, pool: "Pool", selection: "Selection", asked: dict[str, Any], ledger: "Ledger"
    ) -> "tuple[Selection, dict[str, Any]]":
        """Return the selection, or what takes its place where it was to be certified and is not.

        With it comes what `select` has to be asked for it.
        """
        if self._held is None:
            return selection, asked
        if self._random_will_do or selection.settings["rule"] == "full":
            what = "random rows are" if self._random_will_do else "everything is"
            self._note(f"{what} kept, so there is nothing to certify")
            return selection, asked
        from euds.proof.certify import certify
        from euds.runs.replaying.recording import again_recorded

        certificate = certify(
            pool,
            selection,
            validation=self._held,
            alpha=self.options.alpha,
            ledger=ledger,
            progress=progress_for(quiet=self.output.quiet),
            **self._settings(),
        )
        self.findings["certificate"] = certificate.results
        if certificate.delivered is selection:
            return selection, asked
        weights = self.selecting.weights
        return certificate.delivered, again_recorded(certificate.delivered, weights=weights)

    def held_out(self) -> dict[str, Any] | None:
        """Return what was set aside, as the manifest records it."""
        return self._recorded

    @property
    def validation_file(self) -> str | None:
        """The file of the validation part, if it is one."""
        asked = self.options.validation
        is_file = self.options.certify and share_in(asked, option="--validation") is None
        return asked if is_file else None

    @property
    def left_out(self) -> "pl.DataFrame | None":
        """The rows that the pool is without: ``id``, ``reason``."""
        return self._left_out

    def _settings(self) -> dict[str, Any]:
        return {
            "task": self.scoring.task,
            "trainer": self.options.trainer,
            "encoder": self.options.train_encoder,
            "seeds": self.options.seeds,
            "seed": self.output.seed,
            "margin_points": self.options.margin,
            "precision": self.scoring.precision,
        }
