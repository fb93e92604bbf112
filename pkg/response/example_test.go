package response_test

import (
	"fmt"

	"github.com/stepward/stepward/pkg/response"
)

// A refusal with the status of a success is not sent; a page that was asked for is.
func ExampleResponse_Sound() {
	fmt.Println(response.Response{Status: 403}.Sound())
	fmt.Println(response.Response{Status: 200}.Sound())
	fmt.Println(response.Response{Kind: response.Serve, Status: 200}.Sound())
	// Output:
	// true
	// false
	// true
}
