"""Before a proof: whether selecting can help, how much to keep, how long training takes."""
