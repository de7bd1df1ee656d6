import pytest

from interp_magics.errors import RequestError
from interp_magics.program.sites import SITES, parse_site


@pytest.mark.parametrize(
    ("name", "site"),
    [
        ("resid_post", ("resid_post", None)),
        ("blocks.3.hook_resid_post", ("resid_post", 3)),
        ("blocks.0.attn.hook_z", ("head_out", 0)),
        ("model.layers.11.mlp", ("mlp_out", 11)),
        ("transformer.h.2.attn", ("attn_out", 2)),
        ("model.layers.5", ("resid_post", 5)),
        ("model.norm", ("ln_final", None)),
        ("lm_head", ("logits", None)),
        ("resid_mid.4", ("resid_mid", 4)),
        ("hook_embed", ("embed", None)),
    ],
)
def test_names_of_other_tools_are_the_semantic_ones(name, site):
    assert parse_site(name) == site


def test_every_site_is_its_own_name():
    assert all(parse_site(site) == (site, None) for site in SITES)


def test_an_unknown_site_names_the_nearest():
    with pytest.raises(RequestError, match="did you mean 'resid_post'"):
        parse_site("resid_pst")
