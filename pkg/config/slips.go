package config

import (
	"fmt"
	"strings"
	"unicode"

	"go.yaml.in/yaml/v4"
)

// curly lists quotation marks that word processors write and that YAML reads as text.
const curly = "“”„‟‘’‚‛«»‹›＂＇"

// slips reports valid YAML that its author hardly meant: typographic quotes, anchors, tags
// and templates. They would be read as something else, or as nothing.
func (d *decoder) slips(n *yaml.Node) {
	switch {
	case n.Anchor != "":
		d.fail(n, "", fmt.Sprintf("&%s is an anchor, and not a value", n.Anchor),
			"put a text that begins with & in quotes; anchors are not used here")
		return
	case n.Style&yaml.TaggedStyle != 0:
		d.fail(n, "", n.Tag+" is a tag, and not part of the value",
			"put a text that begins with ! in quotes; tags are not used here")
		return
	case n.Kind == yaml.ScalarNode && n.Style == 0 && n.Value != "" && strings.ContainsRune(curly, []rune(n.Value)[0]):
		d.fail(n, "", "a typographic quotation mark, which YAML takes for text", `write " or '`)
		return
	case n.Kind == yaml.MappingNode && len(n.Content) > 0 && n.Content[0].Kind == yaml.MappingNode:
		d.fail(n, "", "{{ begins a template that nothing has filled in",
			"render the file first, or put the value in quotes")
		return
	}
	for _, x := range n.Content {
		d.slips(x)
	}
}

// keyHint guesses what is wrong with an unknown key.
func keyHint(key string, known []string) string {
	first := []rune(key + " ")[0]
	switch name, rest, colon := strings.Cut(key, ":"); {
	case key == "<<":
		return "merge keys are not used here: write the members out"
	case unicode.IsSpace(first) || first == '\ufeff':
		return fmt.Sprintf("the line begins with %U, which looks like a space but is not one", first)
	case colon && strings.TrimSpace(rest) != rest || colon && strings.ContainsFunc(
		rest, func(r rune) bool { return r > unicode.MaxASCII && unicode.IsSpace(r) }):
		return "the space after the colon is another character: type it again"
	case colon && name != "":
		return "a space is missing after the colon: write key: value"
	case strings.HasPrefix(key, "-"):
		return "a space is missing after the dash: write - key: value"
	}
	return "known here: " + strings.Join(known, ", ")
}
