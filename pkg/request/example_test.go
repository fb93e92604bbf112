package request_test

import (
	"fmt"

	"github.com/stepward/stepward/pkg/request"
)

// A path is read once, for everyone. A path that two readers could read differently is
// refused.
func ExampleNew() {
	for _, target := range []string{"/caf%C3%A9/menu/?page=2", "/a/%2e%2e/admin", "/a;v=1/b"} {
		r, err := request.New(request.Raw{Method: "GET", Host: "App.Example.com:443", Scheme: "https", Target: target},
			request.Options{})
		if err != nil {
			fmt.Println(err)
			continue
		}
		fmt.Printf("%s %s %q\n", r.Host, r.Path, r.Segments)
	}
	// Output:
	// app.example.com /café/menu/ ["café" "menu"]
	// request: ambiguous: the path has a dot segment
	// request: ambiguous: the path has parameters after ";" (request.allow: path_parameters)
}
