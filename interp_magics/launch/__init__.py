"""How worker groups start: short files behind one protocol."""
