"""`gitctx demo`: four agents, each a process of its own, survey a project together; one is killed half-way.

`command` is the face. `conductor` writes the plan, starts the agents (`agent`), kills one and watches; `team` holds
their processes and `messages` what they tell; `plan`, `survey` and `languages` are the work itself; `proof` asks plain
git whether everything is there (`evidence`: what it asks and what it makes of it); `display` and `report` show it.
"""
