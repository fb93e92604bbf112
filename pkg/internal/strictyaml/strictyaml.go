// Package strictyaml reads a text as exactly one YAML document and leaves nothing out. A
// reader that takes only the first of two documents, or treats an empty file as an empty
// document, decides by half of what somebody wrote.
package strictyaml

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"unicode/utf8"

	"go.yaml.in/yaml/v4"

	"github.com/stepward/stepward/pkg/finding"
)

// maxNodes limits how many more values than bytes a document may hold once each alias is
// expanded. A few lines can stand for billions of values.
const maxNodes = 1 << 20

// Error says why a text is not one document. It names a position and quotes no value.
type Error struct {
	Line, Column  int // from 1
	Message, Hint string
}

// Error says where in the document it is, and what was found.
func (e *Error) Error() string {
	return fmt.Sprintf("line %d, column %d: %s", e.Line, e.Column, e.Message)
}

// Document returns the value of the one document in text. An error is an [Error].
func Document(text []byte) (*yaml.Node, error) {
	if !utf8.Valid(text) { // the library reads UTF-16, too
		return nil, syntax(text, errors.New("not UTF-8"))
	}
	decoder := yaml.NewDecoder(bytes.NewReader(text))
	var root, more yaml.Node
	switch err := decoder.Decode(&root); {
	case errors.Is(err, io.EOF):
		return nil, &Error{Line: 1, Column: 1, Message: "the file is empty",
			Hint: "comments alone count as nothing; a file that is being written looks like this"}
	case err != nil:
		return nil, syntax(text, err)
	}
	if len(root.Content) == 0 || root.Content[0].Tag == "!!null" {
		return nil, &Error{Line: 1, Column: 1, Message: "the file is empty",
			Hint: "comments alone count as nothing; a file that is being written looks like this"}
	}
	switch err := decoder.Decode(&more); {
	case err == nil:
		return nil, &Error{Line: max(more.Line, 1), Column: max(more.Column, 1),
			Message: "a second document begins here",
			Hint:    "a file is one document: remove the --- between them, or make two files"}
	case !errors.Is(err, io.EOF):
		return nil, syntax(text, err)
	}
	c := counter{most: maxNodes + len(text), sizes: map[*yaml.Node]int{}, open: map[*yaml.Node]bool{}}
	if err := c.count(root.Content[0]); err != nil {
		return nil, err
	}
	return root.Content[0], nil
}

// syntax explains a parser error by the slip behind it.
func syntax(text []byte, err error) *Error {
	f := finding.YAML("", text, err)
	return &Error{Line: f.Line, Column: f.Column, Message: f.Message, Hint: f.Hint}
}

// counter counts the values that a document stands for, each node once.
type counter struct {
	most  int
	sizes map[*yaml.Node]int
	open  map[*yaml.Node]bool
}

func (c counter) count(n *yaml.Node) error {
	if _, counted := c.sizes[n]; counted {
		return nil
	}
	if c.open[n] {
		return &Error{Line: n.Line, Column: n.Column, Message: "the value stands within itself", Hint: "write it out"}
	}
	c.open[n] = true
	defer delete(c.open, n)
	total := 1
	parts := n.Content
	if n.Kind == yaml.AliasNode {
		parts = []*yaml.Node{n.Alias}
	}
	for _, p := range parts {
		if p == nil {
			continue
		}
		if err := c.count(p); err != nil {
			return err
		}
		if total += c.sizes[p]; total > c.most {
			return &Error{Line: n.Line, Column: n.Column,
				Message: fmt.Sprintf("with its aliases written out the file holds more than %d values", c.most),
				Hint:    "write less, or no aliases"}
		}
	}
	c.sizes[n] = total
	return nil
}
