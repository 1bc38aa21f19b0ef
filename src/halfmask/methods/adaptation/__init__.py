"""Domain adaptation: a model of labeled source images is made to work on unlabeled target images."""
