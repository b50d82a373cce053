"""`python -m tools.dashboards`: writes the dashboards (`make dashboards`)."""

from tools.dashboards import FOLDER, write

for path in write():
    print(path.relative_to(FOLDER.parents[2]))
