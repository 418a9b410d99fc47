"""Early warning of floods and droughts for one river basin with a gauge."""
