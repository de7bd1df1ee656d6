"""Options first, then the text verbatim."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from IPython.core.error import UsageError

from interp_magics.magics import lens

HOSTILE = [
    "it's -l 3 'two words'",
    'say "{x} {nope}" $HOME; done;',
    "  leading blanks stay",
    "trailing ; and -- dashes -k 2",
    "漢字 é 😀 \u200b</script>",
    "tab\there",
]


@pytest.mark.parametrize("text", HOSTILE)
@pytest.mark.parametrize("options", ["", "-k 3 ", "-l -4: --top-k 2 ", "--scale -1e-3 -q ", "-l=-1 -- "])
def test_the_text_after_the_options_is_untouched(options, text):
    assert lens.parser().split(options + text)[1] == text


def test_values_that_begin_with_a_dash_belong_to_their_option():
    given_, _ = lens.parser().split("-l -4: --scale -1e-3 -k3 text")
    assert given_.layers == "-4:" and given_.scale == [-1e-3] and given_.top_k == 3


def test_quoted_values_keep_their_blanks():
    given_, text = lens.parser().split("-t ' Paris' --track=\" Rome\" go on")
    assert given_.track == [" Paris", " Rome"] and text == "go on"


def test_two_dashes_let_a_text_begin_with_one():
    assert lens.parser().split("-k 2 -- -l is text")[1] == "-l is text"


@pytest.mark.parametrize("line", ["--layrs 3 x", "-k many x", "-k", "-t 'never closed", "--top-k= x", "-Z"])
def test_the_users_fault_is_a_usage_error(line):
    with pytest.raises(UsageError):
        lens.parser().split(line)


def test_an_unknown_option_names_the_nearest():
    with pytest.raises(UsageError, match="--layers"):
        lens.parser().split("--layrs 3 x")


@given(st.text(max_size=40))
def test_a_text_without_options_is_whole(text):
    if not text.lstrip().startswith("-"):
        assert lens.parser().split(text)[1] == text
