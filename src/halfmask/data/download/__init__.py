"""Public data sets, downloaded and laid out so that `halfmask check` reads them."""
