"""Every command by name, with the module that holds its function. Listing the commands imports none of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

STORE = "Store"
ENTRIES = "Entries"
HISTORY = "History"
WORK = "Working together"
MACHINES = "Between machines"
OPTIONS = "Options for every command"


class Entry(NamedTuple):
    """One command: its function as `module:name` (below `gitctx_cli`), one line of help, where it is listed.

    A group of commands has `members` instead of a function.
    """

    function: str
    help: str
    panel: str = "Commands"
    members: Mapping[str, Entry] | None = None


CONFIG = {
    "list": Entry("config:list_settings", "show the settings in force"),
    "get": Entry("config:get", "print one setting"),
    "set": Entry("config:set_value", "change one setting"),
    "unset": Entry("config:unset", "put one setting back to its default"),
    "edit": Entry("config:edit", "edit the settings file in your editor"),
    "reset": Entry("config:reset", "put every setting back to its default"),
}
CHECKPOINT = {
    "create": Entry("checkpoints:create", "name the content as it is now, or was at a revision"),
    "list": Entry("checkpoints:list_all", "list the checkpoints, oldest first"),
    "show": Entry("checkpoints:show", "show one checkpoint"),
    "diff": Entry("checkpoints:diff", "show how the entries differ from a checkpoint now"),
    "restore": Entry("checkpoints:restore", "make the content what it was at a checkpoint, as a new write"),
    "delete": Entry("checkpoints:delete", "delete a checkpoint"),
}
SESSION = {
    "start": Entry("sessions:start", "start a session for a process that runs already"),
    "run": Entry("sessions:run", "run a command as a session"),
    "list": Entry("sessions:list_all", "list sessions and whether they live"),
    "show": Entry("sessions:show", "show one session with the evidence on it"),
    "beat": Entry("sessions:beat", "say that a session is still at work"),
    "end": Entry("sessions:end", "end a session and give up its claims"),
    "recover": Entry("recovering:recover", "close dead sessions and hand over what they leave"),
}
RECOVERY = {
    "scan": Entry("recovery:scan", "tell what is damaged and what can be restored; change nothing"),
    "apply": Entry("recovery:apply", "restore what can be restored"),
    "undo": Entry("recovery:undo", "take back what a recovery made of the entries"),
}
REMOTE = {
    "add": Entry("remotes:add", "add a remote; nothing is sent to it"),
    "list": Entry("remotes:list_all", "list the remotes"),
    "remove": Entry("remotes:remove", "forget a remote"),
}
CONFLICT = {
    "list": Entry("conflicts:list_all", "list conflicts that wait for a decision"),
    "resolve": Entry("conflicts:resolve", "settle a conflict"),
}

COMMANDS: Mapping[str, Entry] = {
    "init": Entry("stores:init", "make the store of this project", STORE),
    "demo": Entry("demo.command:demo", "watch four agents survey this project together", STORE),
    "status": Entry("stores:status", "show the store, its head, sessions and claims", STORE),
    "verify": Entry("stores:verify", "check that the store is sound", STORE),
    "doctor": Entry("doctor:doctor", "check environment, store and sessions; --fix mends", STORE),
    "maintain": Entry("maintaining:maintain", "keep the store small and quick; it also goes on by itself", STORE),
    "rotate": Entry("rotating:rotate", "squash old history, so that the store stays small", STORE),
    "recovery": Entry("", "find damage in the store and mend it", STORE, RECOVERY),
    "config": Entry("", "show and change the store's settings", STORE, CONFIG),
    "put": Entry("writing:put", "put a value at a key", ENTRIES),
    "get": Entry("reading:get", "print the value at a key", ENTRIES),
    "ls": Entry("reading:ls", "list keys", ENTRIES),
    "rm": Entry("writing:rm", "remove the entry at a key", ENTRIES),
    "mv": Entry("writing:mv", "move an entry or a folder", ENTRIES),
    "edit": Entry("editing:edit", "edit an entry in your editor", ENTRIES),
    "append": Entry("writing:append", "add a line to an entry, never in conflict", ENTRIES),
    "add": Entry("writing:add", "make a new entry with a name of its own", ENTRIES),
    "batch": Entry("batches:batch", "make many changes one write", ENTRIES),
    "export": Entry("transfers:export", "write entries to files in a folder", ENTRIES),
    "import": Entry("transfers:import_folder", "put a folder's files, as one write", ENTRIES),
    "log": Entry("history:log", "show writes, newest first", HISTORY),
    "show": Entry("history:show", "show one write and what it changed", HISTORY),
    "diff": Entry("history:diff", "show how the entries differ between two revisions", HISTORY),
    "undo": Entry("writing:undo", "take back what one write did, as a new write", HISTORY),
    "checkpoint": Entry("", "name contents and return to them", HISTORY, CHECKPOINT),
    "watch": Entry("watching:watch", "print changes as they happen", WORK),
    "changes": Entry("watching:changes", "print what changed since a revision", WORK),
    "wait": Entry("watching:wait", "wait until an entry is there, is gone or changes", WORK),
    "claim": Entry("claims:claim", "hold a piece of work so that nobody else takes it", WORK),
    "release": Entry("claims:release", "give a claim up", WORK),
    "claims": Entry("claims:list_all", "list who holds what", WORK),
    "session": Entry("", "start, list and end sessions", WORK, SESSION),
    "sync": Entry("syncing:sync", "exchange with other machines; pause and resume watchers", MACHINES),
    "remote": Entry("", "add, list and remove remotes", MACHINES, REMOTE),
    "conflict": Entry("", "list and settle open conflicts", MACHINES, CONFLICT),
}
