"""A second evaluator of Stepward policies, written from their documentation alone.

It makes up policies, requests and callers from a seed, decides each by what
docs/policy.md says, and prints one JSON object a line: the policy in Rego, the scenario,
and the answer. It shares nothing with the service, and is slow and plain on purpose.
"""

import json
import random
import sys

LADDER = ["anonymous", "authenticated", "password", "mfa", "phishing-resistant"]
ACR = {"password": ["1"], "mfa": ["2"], "phishing-resistant": ["phr", "phrh"]}
METHODS = ["GET", "POST", "DELETE"]
PLACES = ["payments", "admin", "news"]


def rank(level):
    return LADDER.index(level)


def level_of(acr):
    for level in LADDER[2:]:
        if acr in ACR[level]:
            return level
    return "authenticated"


def accepted(level):
    """The acr values of a level and of every stronger one, weakest first."""
    return [a for name in LADDER[2:] if rank(name) >= rank(level) for a in ACR[name]]


# Making things up ------------------------------------------------------------------


def condition(r):
    kinds = r.sample(["method", "place", "header", "claim", "not claim"], r.choice([0, 1, 1, 2]))
    c = {}
    for k in kinds:
        c[k] = {"method": r.sample(METHODS, 2), "place": r.choice(PLACES)}.get(k, r.choice(["a", "b"]))
    return c


def requirement(r, acr_free):
    q = {}
    kind = r.choice(["level", "level", "level", "acr", "none"])
    if kind == "acr" and not acr_free:
        kind = "level"
    if kind == "level":
        q["level"] = r.choice(LADDER[1:])
    elif kind == "acr":
        q["acr"] = r.sample(["1", "2", "phr", "phrh", "other"], r.choice([1, 2, 3]))
    if r.random() < 0.35:
        q["max_age"] = r.choice([60, 300, 3600])
    if "level" in q or "acr" in q:
        if r.random() < 0.15:
            q["amr"] = r.sample(["otp", "pwd", "hwk"], r.choice([1, 2]))
    if r.random() < 0.2:
        q["scope"] = r.sample(["read", "write", "admin"], r.choice([1, 2]))
    if r.random() < 0.08:
        q["audience"] = r.sample(["api", "other"], 1)
    if r.random() < 0.08:
        q["token_age"] = 120
    if r.random() < 0.06:
        q["sender_constrained"] = True
    if r.random() < 0.06:
        q["issuer"] = ["https://idp.example.com"] if r.random() < 0.5 else ["https://bank.example.com"]
    if r.random() < 0.1:
        q["shadow"] = True
    if not q:
        q["level"] = "authenticated"
    return q


def policy(r):
    rules, acr_free = [], True
    for _ in range(r.choice([1, 2, 3, 4])):
        q = requirement(r, acr_free)
        acr_free = acr_free and "acr" not in q
        rules.append((condition(r), q))
    if r.random() < 0.3:
        c = {k: v for k, v in condition(r).items() if "claim" not in k}
        rules.append((c, {"level": "anonymous"}))
    denials = []
    if r.random() < 0.3:
        d = {"code": "c"}
        if r.random() < 0.4:
            d["status"] = r.choice([404, 451])
        if r.random() < 0.3:
            d["always"] = True
        denials.append((condition(r), d))
    return rules, denials


def rego(rules, denials):
    lines = ["package stepward.policy", "", "import rego.v2", ""]
    if not rules:
        rules = []
    for name, members in (("require", rules), ("deny", denials)):
        for c, m in members:
            body = []
            if "method" in c:
                body.append("input.request.method in %s" % json.dumps(c["method"]))
            if "place" in c:
                body.append("input.request.segments[0] == %s" % json.dumps(c["place"]))
            if "header" in c:
                body.append('input.request.headers["x-flag"] == %s' % json.dumps(c["header"]))
            if "claim" in c:
                body.append("input.token.claims.dept == %s" % json.dumps(c["claim"]))
            if "not claim" in c:
                body.append("not input.token.claims.dept == %s" % json.dumps(c["not claim"]))
            text = json.dumps(m)
            lines.append("%s contains %s" % (name, text) + (" if {\n\t" + "\n\t".join(body) + "\n}" if body else ""))
            lines.append("")
    return "\n".join(lines)


def caller(r):
    if r.random() < 0.15:
        return None
    t = {"acr": r.choice(["1", "2", "phr", "phrh", "unknown", None]), "auth_age": r.choice(["10s", "100s", "1000s", "5000s", None])}
    if t["acr"] is None:
        del t["acr"]
    if r.random() < 0.5:
        t["dept"] = r.choice(["a", "b"])
    if r.random() < 0.5:
        t["amr"] = r.sample(["otp", "pwd", "hwk"], r.choice([1, 2, 3]))
    if r.random() < 0.6:
        t["scope"] = " ".join(r.sample(["read", "write", "admin"], r.choice([1, 2, 3])))
    if r.random() < 0.3:
        t["aud"] = [r.choice(["api", "other"])]
    if r.random() < 0.3:
        t["age"] = r.choice(["10s", "600s"])
    if r.random() < 0.2:
        t["sender_constrained"] = True
    if r.random() < 0.15:
        t["sub"], t["client_id"] = None, "batch"
    return t


def request(r):
    q = {"method": r.choice(METHODS), "path": "/" + r.choice(PLACES + ["other"])}
    if r.random() < 0.4:
        q["headers"] = {"x-flag": r.choice(["a", "b"])}
    t = caller(r)
    if t is not None:
        q["token"] = t
    return q


# Deciding --------------------------------------------------------------------------


def holds(c, q):
    t = q.get("token")
    dept = t.get("dept") if t else None
    return (
        ("method" not in c or q["method"] in c["method"])
        and ("place" not in c or q["path"][1:] == c["place"])
        and ("header" not in c or q.get("headers", {}).get("x-flag") == c["header"])
        and ("claim" not in c or dept == c["claim"])
        and ("not claim" not in c or dept != c["not claim"])
    )


def seconds(text):
    return int(text[:-1])


def ask(required):
    """What a challenge asks for, and whether anybody can bring it."""
    values, order = None, None
    for q in required:
        if "acr" in q:
            mine, order = q["acr"], q["acr"]
        elif rank(q.get("level", "authenticated")) >= 2:
            mine = accepted(q["level"])
        else:
            continue
        values = [v for v in (values if values is not None else mine) if v in mine]
    if values is not None:
        if order is not None:
            values = [v for v in order if v in values]
        elif values:
            weakest = min(rank(level_of(v)) for v in values)
            values = [v for v in values if rank(level_of(v)) == weakest]
    ages = [q["max_age"] for q in required if "max_age" in q]
    return {
        "acr_values": values,
        "max_age": min(ages) if ages else None,
        "scope": sorted({s for q in required for s in q.get("scope", [])}),
        "impossible": values == [],
    }


def decide(rules, denials, q):
    required = [m for c, m in rules if holds(c, q) and not m.get("shadow")]
    denied = [m for c, m in denials if holds(c, q)]
    t = q.get("token")
    if not required:
        return {"result": "deny", "reason": "policy_no_match", "status": 403}

    def refused(d):
        return {"result": "deny", "reason": "policy_denied", "status": d.get("status", 403)}

    for d in denied:
        if d.get("always"):
            return refused(d)
    needed = any(m != {"level": "anonymous"} for m in required)
    asked = ask(required)

    def challenge(reason, missing=None):
        a = {"result": "challenge", "reason": reason, "status": 401}
        if missing:
            a["missing"] = missing
        if reason in ("no_credentials", "insufficient_level", "stale_authentication"):
            a["acr_values"], a["max_age"], a["scope"] = asked["acr_values"], asked["max_age"], asked["scope"]
        return a

    if needed and t is None:
        return challenge("no_credentials")
    for d in denied:
        return refused(d)
    if not needed:
        return {"result": "allow", "reason": "ok", "status": 200}
    audience = t.get("aud", ["api"])
    for m in required:
        if "audience" in m and not set(m["audience"]) & set(audience):
            return challenge("token_wrong_audience")
    for m in required:
        if "token_age" in m and seconds(t.get("age", "0s")) > m["token_age"]:
            return challenge("token_too_old")
    for m in required:
        if m.get("sender_constrained") and not t.get("sender_constrained"):
            return challenge("not_sender_constrained")
    held = level_of(t.get("acr"))
    short = stale = methods = scope = False
    for m in required:
        if "acr" in m:
            short = short or t.get("acr") not in m["acr"]
        else:
            short = short or rank(held) < rank(m.get("level", "authenticated"))
        if "max_age" in m:
            age = t.get("auth_age", "0s")
            stale = stale or age is None or seconds(age) > m["max_age"]
        methods = methods or not set(m.get("amr", [])) <= set(t.get("amr", []))
        scope = scope or not set(m.get("scope", [])) <= set(t.get("scope", "").split())
    impossible = {"result": "deny", "reason": "policy_unsatisfiable", "status": 403}
    if any("issuer" in m and "https://idp.example.com" not in m["issuer"] for m in required):
        return impossible
    if (short or stale) and (asked["impossible"] or t.get("sub", "alice") is None):
        return impossible
    missing = [n for n, is_so in (("level", short), ("age", stale), ("methods", methods), ("scope", scope)) if is_so]
    if short:
        return challenge("insufficient_level", missing)
    if stale:
        return challenge("stale_authentication", missing)
    if methods:
        return {"result": "deny", "reason": "insufficient_methods", "status": 403, "missing": missing}
    if scope:
        return {"result": "deny", "reason": "insufficient_scope", "status": 403, "missing": missing}
    return {"result": "allow", "reason": "ok", "status": 200}


def main():
    count, seed = int(sys.argv[1]), int(sys.argv[2])
    r = random.Random(seed)
    for _ in range(count):
        rules, denials = policy(r)
        q = request(r)
        print(json.dumps({"policy": rego(rules, denials), "scenario": q, "answer": decide(rules, denials, q)}))


main()
