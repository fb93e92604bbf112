package config

import _ "embed"

// Schema is the JSON Schema (2020-12) of the configuration, for editors. A test makes it
// from the types of this package.
//
//go:embed schema.json
var Schema []byte
