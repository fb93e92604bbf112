# METADATA
# title: Route tables as data
# description: |
#   Most step-up rules are a method, a path and a level. This package reads them
#   from a list of objects:
#
#       {"path": "/payments/**", "safe_methods": ["GET", "HEAD", "OPTIONS"], "require": {"level": "mfa"}}
#
#   A path pattern is compared segment by segment, so a final slash makes no
#   difference. `*` stands for one segment, `**` at the end for any number, including
#   none. Without `hosts` an entry applies to every host.
#
#   An entry applies to every method except its `safe_methods`. Name the safe methods, not
#   the others: an application may treat PROPPATCH or FOO like POST. With `methods` an
#   entry applies only to these; if one of them may change something, it also applies to
#   every method other than GET, HEAD, OPTIONS, POST, PUT, PATCH and DELETE.
package stepward.lib.routes

import rego.v2

# METADATA
# title: Whether an entry is about a request
# description: |
#   If a rule of require or deny uses `some entry in data.routes` and
#   `routes.matches(entry, input.request)`, a table of thousands costs no more than one of
#   ten, and `stepward matrix` can settle it for each route.
# custom:
#   arguments:
#     entry: "stepward.routes#/items"
matches(entry, request) if {
	method_matches(entry, request.method)
	not request.method in entry.safe_methods
	host_matches(entry, request)
	entry_path_matches(entry, request.segments)
}

# An unreadable member does not limit an entry: the entry applies to more requests, not fewer.
method_matches(entry, _) if not is_array(entry.methods)

method_matches(entry, method) if method in entry.methods

# Only the application knows what an uncommon method does.
method_matches(entry, method) if {
	not method in (safe | {"POST", "PUT", "PATCH", "DELETE"})
	some listed in entry.methods
	not listed in safe
}

# METADATA
# title: The methods that only read (RFC 9110 §9.2.1)
# description: TRACE is left out. It echoes the request, and no application needs it.
safe := {"GET", "HEAD", "OPTIONS"}

host_matches(entry, _) if not is_array(entry.hosts)

host_matches(entry, request) if request.host in entry.hosts

entry_path_matches(entry, _) if not is_string(entry.path)

entry_path_matches(entry, segments) if path_matches(pattern_segments(entry.path), segments)

pattern_segments(path) := [s | some s in split(path, "/"); s != ""]

# METADATA
# title: Whether segments match a pattern
path_matches(pattern, segments) if {
	count(pattern) == count(segments)
	not "**" in pattern
	prefix_matches(pattern, segments)
}

path_matches(pattern, segments) if {
	pattern[count(pattern) - 1] == "**"
	prefix := array.slice(pattern, 0, count(pattern) - 1)
	count(segments) >= count(prefix)
	prefix_matches(prefix, segments)
}

prefix_matches(prefix, segments) if {
	every i, want in prefix {
		want in {"*", segments[i]}
	}
}
