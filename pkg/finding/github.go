package finding

import (
	"fmt"
	"io"
	"strings"
)

// GitHub writes l as workflow commands of GitHub Actions, which turn into annotations.
func (l List) GitHub(out io.Writer) error {
	for _, f := range l {
		command := strings.Replace(f.level(), "note", "notice", 1)
		text := f.Message
		if f.Hint != "" {
			text += "\n" + f.Hint
		}
		_, err := fmt.Fprintf(out, "::%s file=%s,line=%d,col=%d,title=%s::%s\n", command, property.Replace(f.File),
			f.Line, f.Column, property.Replace(f.Code), message.Replace(text))
		if err != nil {
			return err
		}
	}
	return nil
}

// message escapes a text so that it stays on one line. property escapes the value of a
// property, which more characters would end.
var (
	message  = strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A")
	property = strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A", ":", "%3A", ",", "%2C")
)
