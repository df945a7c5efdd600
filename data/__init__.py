"""The model and the digits that ship with refcrp, installed as the package ``refcrp_data``."""
