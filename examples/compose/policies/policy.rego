package stepward.policy

import rego.v2

# METADATA
# title: Anyone may look
require contains {"level": "anonymous"} if input.request.method in {"GET", "HEAD"}

# METADATA
# title: Changing something needs a second factor
require contains {"level": "mfa", "max_age": "5m"} if not input.request.method in {"GET", "HEAD"}
