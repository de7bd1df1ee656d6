"""The extension: one class of magics, registered and taken back whole."""

from typing import Any

from IPython.core.magic import Magics, cell_magic, line_cell_magic, line_magic, magics_class, no_var_expand
from traitlets import Float, Unicode

from .questions import protect
from .session import Session

_NAMES = {
    "line": ("pool", "jobs", "lens", "attribution", "steer", "sae", "features"),
    "cell": ("lens", "capture_layers", "steer"),
}


@magics_class
class InterpMagics(Magics):
    """Settings of the magics; change them with `%config InterpMagics.NAME = value`."""

    url = Unicode(
        "", help="Address, connection file or hub service of the pool; empty for $INTERP_POOL_URL or an embedded pool."
    ).tag(config=True)
    model = Unicode("", help="Model that is used unless a magic names another.").tag(config=True)
    progress_after = Float(1.0, help="Seconds after which a waiting cell shows progress.").tag(config=True)

    def __init__(self, shell: Any) -> None:
        super().__init__(shell)
        self.session = Session(shell, self)

    @no_var_expand
    @line_magic
    def pool(self, line: str) -> Any:
        """Show or change the pool.

        %pool                  a live panel: models, worker groups, queue, my jobs, my quota
        %pool connect [URL]    another pool; without URL the configured or an embedded one
        %pool model PATH       an embedded pool for a model directory or hub id
        %pool use MODEL        the model of calls that name none
        %pool card [MODEL]     its sites and shapes
        %pool jobs             my jobs
        %pool cancel JOB       end one of them
        %pool close            disconnect; an embedded pool ends
        """
        from . import pool

        return pool.run(self.session, line)

    @no_var_expand
    @line_magic
    def jobs(self, line: str) -> Any:
        """My jobs, also those of kernels that are gone.

        %jobs         all of them, the newest first
        %jobs ID      one of them as a Job: .result(), await, .cancel(), .share("user"); the id may be cut short
        """
        from . import jobs

        return jobs.run(self.session, line)

    @no_var_expand
    @line_cell_magic
    def lens(self, line: str, cell: str | None = None) -> Any:
        """What the model was about to say, at every layer and position.

        %lens [options] [--] text       the text is taken as it is, blanks and quotes too
        %%lens [options]                the cell is one text; --each-line makes one per line

        -k K top tokens   -l SPEC layers   -s SITES   -p POSITIONS   -t TOKEN track   -n TOKENS generate
        -v VECTOR --scale X steer          -o NAME bind   -a Job   -q quiet   -m MODEL   --seed N
        --dry-run estimate   --show-code   -f fill {variables}

        Examples
        --------
        %lens The capital of France is
        %lens -l ::2 -k 3 -t " Paris" -o run The capital of France is
        """
        from . import lens

        return lens.run(self.session, line, cell)

    @no_var_expand
    @line_magic
    def attribution(self, line: str) -> Any:
        """What embedding, attention, MLPs and heads add directly to a token's logit over another's.

        %attribution [options] [--] text

        -t TOKEN target (the likeliest)   --foil TOKEN (the next likely)   -p N position   -o NAME bind   -q quiet
        -m MODEL   -f fill {variables}   --show-code

        Examples
        --------
        %attribution The capital of France is
        %attribution -t " Paris" --foil " Rome" The capital of France is
        """
        from . import attribution

        return attribution.run(self.session, line)

    @no_var_expand
    @cell_magic
    def capture_layers(self, line: str, cell: str) -> Any:
        """Keep the values at sites and layers of the cell's text.

        %%capture_layers [options] [NAME]

        -l SPEC layers   -s SITES   -p POSITIONS   -n TOKENS generate   --dtype D   --reduce moments
        --each-line one text per line   -o NAME bind   -a Job   -q quiet   -m MODEL   --dry-run   --show-code

        Examples
        --------
        %%capture_layers -l 4: -s resid_post,mlp_out acts
        The capital of France is
        """
        from . import capture

        return capture.run(self.session, line, cell)

    @no_var_expand
    @line_cell_magic
    def steer(self, line: str, cell: str | None = None) -> Any:
        """Fit a steering vector, see what it does to a text, measure what it does to answers.

        %%steer [options] [NAME]             a vector from the lines that begin with "+ " and "- "
        %steer -v NAME [options] [--] text   the text goes on without it and with it, side by side
        %steer -v NAME --slope FILE          m = logit(favoured) - logit(other) by scale, layer and question

        -l SPEC layers   -s SITE   --at last|mean|label   --method mean_difference|logistic|pca
        -v VECTOR --scale X   --unit raw|stream   -p POSITIONS   -n TOKENS
        --op add|add_keeping_norm|ablate|ablate_then_add
        --scales NUMBERS   --template TEXT   -o NAME bind   -a Job   -q quiet   --dry-run   --show-code

        Examples
        --------
        %%steer --at mean mood
        + What a lovely day, everything feels light
        - What a dreadful day, everything feels heavy
        + The food was wonderful
        - The food was terrible

        %steer -v mood --scale 4 Tell me about the sea
        %steer -v mood --slope questions.jsonl -o curve
        """
        from . import steer

        return steer.run(self.session, line, cell)

    @no_var_expand
    @line_magic
    def sae(self, line: str) -> Any:
        """Train a sparse autoencoder on the pool, load one, evaluate it, save it.

        %sae train -l LAYER [options] TEXTS   TEXTS is a variable, a .txt or .jsonl file, or pool:NAME
        %sae load DIRECTORY                   SAELens, sparsify, Gemma Scope, Llama Scope
        %sae eval SAE TEXTS                   how well it stands for activations, and in the model
        %sae save SAE DIRECTORY               SAELens' layout, with a manifest

        -s SITE   --architecture batch_topk|topk|matryoshka|jumprelu|gated|relu   --expansion X   --latents M
        -k K   --sparsity X   --tokens N   --batch N   --seed N   --path DIRECTORY   --dry-run estimate
        -o NAME bind   -a Job (eval)   -q quiet   -m MODEL   --show-code

        Examples
        --------
        %sae train -l 6 -k 16 --expansion 8 --tokens 500000 -o sae texts
        %sae eval sae held_out
        """
        from . import sae

        return sae.run(self.session, line)

    @no_var_expand
    @line_magic
    def features(self, line: str) -> Any:
        """Read the features of a dictionary over texts, look at them, search among them, test one.

        %features read SAE TEXTS                a table: density, tokens and examples of every latent
        %features show TABLE [LATENT]           a table to look through; a row opens its examples
        %features search SAE POSITIVE NEGATIVE  the latents that tell two sets of texts apart
        %features test --behaviour PATTERN SAE LATENT PRESENT ABSENT
                                                change it and see what becomes of a behaviour

        --sae SAE labels and strengths   --prompt TEXT its own latents   -k K rows   --over max|mean|last   -n TOKENS
        --table TABLE   --neutral TEXTS   -o NAME bind   -q quiet

        Examples
        --------
        %features read -o table sae texts
        %features show --sae sae --prompt "The sea is calm." table
        %features search -o found sae refusals answers
        %features test --behaviour "sorry|decline" --table table sae 185 refused answered
        """
        from . import features

        return features.run(self.session, line)


def load(shell: Any) -> None:
    """Register the magics and their completion; loading twice is loading anew."""
    unload(shell)
    magics = InterpMagics(shell)
    shell.register_magics(magics)
    shell.input_transformers_cleanup.append(protect)
    if getattr(shell, "Completer", None) is not None:
        shell.Completer.custom_matchers.append(_Matcher(magics.session))


def unload(shell: Any) -> None:
    """Take everything back; an embedded pool ends."""
    magics = shell.magics_manager.registry.pop("InterpMagics", None)
    if magics is None:
        return
    magics.session.close()
    for kind, names in _NAMES.items():
        for name in names:
            shell.magics_manager.magics[kind].pop(name, None)
    shell.input_transformers_cleanup[:] = [t for t in shell.input_transformers_cleanup if t is not protect]
    if magics in shell.configurables:
        shell.configurables.remove(magics)
    completer = getattr(shell, "Completer", None)
    if completer is not None:
        matchers = completer.custom_matchers
        matchers[:] = [m for m in matchers if not isinstance(m, _Matcher)]


class _Matcher:
    """The completion of a session; its code is imported when it is first asked."""

    matcher_api_version = 2
    matcher_priority = 0
    matcher_identifier = "interp_magics.options"

    def __init__(self, session: Session) -> None:
        self._session = session
        self._matcher: Any = None
        self.__qualname__ = self.matcher_identifier

    def __call__(self, context: Any) -> Any:
        if self._matcher is None:
            from .completion import make

            self._matcher = make(self._session)
        return self._matcher(context)
