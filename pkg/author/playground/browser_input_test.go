package playground_test

import (
	"context"
	"fmt"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/chromedp"
)

// insert types text at once, as an input method does; empty text deletes what is chosen.
func insert(text string) chromedp.Action[chromedp.Void] {
	if text == "" {
		return chromedp.KeyEvent("\b")
	}
	return command(input.InsertText, input.InsertTextParams{Text: text})
}

// choose chooses an option as a person does.
func choose(id, value string) chromedp.Action[chromedp.Void] {
	return script(
		fmt.Sprintf("(e => { e.value = %q; e.dispatchEvent(new Event('input')) })(document.getElementById(%q))", value,
			id))
}

func script(text string) chromedp.Action[chromedp.Void] {
	return chromedp.Evaluate[chromedp.Void](text)
}

// command is one command of the protocol.
func command[P, R any](c cdp.Command[P, R], params P) chromedp.Action[chromedp.Void] {
	return chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		_, err := cdp.Call(ctx, t, c, params)
		return err
	})
}

// value is what an expression of the page is.
func value[T any](b *tab, expression string) T {
	b.t.Helper()
	v, err := chromedp.Run(b.ctx, chromedp.Evaluate[T](expression))
	if err != nil {
		b.t.Fatal(err)
	}
	return v
}
