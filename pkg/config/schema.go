package config

import _ "embed"

// Schema is the JSON Schema (2020-12) of the configuration, for editors. It is made
// from the types of this package by a test.
//
//go:embed schema.json
var Schema []byte
