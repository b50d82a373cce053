"""Whether groups of patients fare alike in models of synthetic rows."""
