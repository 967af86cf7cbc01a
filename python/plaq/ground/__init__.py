"""What everything stands on: checks of arguments, random seeds, files, states, progress. Knows no physics."""
