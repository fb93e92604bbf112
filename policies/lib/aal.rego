# METADATA
# title: NIST authenticator assurance levels from amr and acr
# description: |
#   Says which AAL of NIST SP 800-63B a token's authentication methods (RFC 8176)
#   and acr support. You must know whether your issuer fills amr truthfully: if it
#   does not, map its acr values to levels in the configuration instead.
# related_resources:
# - https://pages.nist.gov/800-63-4/sp800-63b.html
# - https://www.rfc-editor.org/rfc/rfc8176
package stepward.lib.aal

import rego.v2

# METADATA
# title: The kinds of factor, and the methods of each
factor := {
	"know": {"pwd", "pin", "kba"},
	"have": {"otp", "sms", "tel", "swk", "hwk", "sc", "pop"},
	"are": {"face", "fpt", "iris", "retina", "vbm"},
}

# METADATA
# title: How many kinds of factor the methods show
# description: Two methods of one kind, such as a password and a PIN, are one factor.
factors(amr) := count({kind |
	some kind, methods in factor
	some method in amr
	method in methods
})

multi_factor(amr) if "mfa" in amr

multi_factor(amr) if factors(amr) > 1

phishing_resistant(_, acr) if acr in {"phr", "phrh"}

phishing_resistant(amr, _) if {
	some method in {"hwk", "swk", "pop", "sc"}
	method in amr
	some gesture in {"user", "pin", "fpt", "face", "iris", "retina", "vbm"}
	gesture in amr
}

hardware(_, "phrh")

hardware(amr, _) if {
	some method in {"hwk", "sc"}
	method in amr
}

# METADATA
# title: The assurance level, from 0 to 3
level(amr, acr) := 3 if {
	multi_factor(amr)
	phishing_resistant(amr, acr)
	hardware(amr, acr)
} else := 2 if {
	multi_factor(amr)
} else := 1 if {
	factors(amr) > 0
} else := 0
