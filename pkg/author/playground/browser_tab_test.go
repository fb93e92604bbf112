package playground_test

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"github.com/stepward/stepward/pkg/internal/golden"
	"github.com/stepward/stepward/pkg/internal/wait"
)

// tab is one page of the browser, and what went wrong in it.
type tab struct {
	t   *testing.T
	ctx context.Context

	mu       sync.Mutex
	root     string
	troubles []string
	expected int // console errors that the test brings about
}

func open(t *testing.T, of context.Context, root string) *tab {
	t.Helper()
	b := &tab{t: t, root: root}
	ctx, cancel := chromedp.NewContext(of, chromedp.WithListener(b.event))
	ctx, stop := context.WithTimeout(ctx, 5*wait.Bound) // clock: all of a test
	b.ctx = ctx
	t.Cleanup(func() {
		stop()
		cancel()
		b.mu.Lock()
		defer b.mu.Unlock()
		if len(b.troubles) != b.expected {
			t.Errorf("%d troubles in the page, want %d:\n%s", len(b.troubles), b.expected,
				strings.Join(b.troubles, "\n"))
		}
	})
	b.run(command(network.Enable, network.EnableParams{}), command(log.Enable, cdp.Empty{}), size(1280, 800),
		chromedp.Navigate(root))
	return b
}

// event notes errors of the script, refusals by the content policy, and requests that
// leave the page's origin.
func (b *tab) event(e any) {
	trouble := ""
	switch e := e.(type) {
	case *runtime.EventExceptionThrown:
		trouble = "exception: " + e.ExceptionDetails.Text
	case *runtime.EventConsoleAPICalled:
		if e.Type == runtime.ConsoleAPICalledTypeError || e.Type == runtime.ConsoleAPICalledTypeAssert {
			trouble = fmt.Sprintf("console: %s", e.Args[0].Value)
		}
	case *log.EventEntryAdded:
		if e.Entry.Level == log.EntryLevelError {
			trouble = "log: " + e.Entry.Text + " " + e.Entry.URL
		}
	case *network.EventRequestWillBeSent:
		if u := e.Request.URL; !strings.HasPrefix(u, b.root) && !strings.HasPrefix(
			u, "blob:"+b.root[:strings.Index(b.root[7:], "/")+7]) {
			trouble = "a request to " + u
		}
	}
	if trouble != "" {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.troubles = append(b.troubles, trouble)
	}
}

// size is the size of the window, in pixels.
func size(width, height int64) chromedp.Action[chromedp.Void] {
	return command(emulation.SetDeviceMetricsOverride, emulation.SetDeviceMetricsOverrideParams{
		Width: width, Height: height, DeviceScaleFactor: 1})
}

func (b *tab) run(actions ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	if err := chromedp.Do(b.ctx, actions...); err != nil {
		b.t.Fatal(err)
	}
}

// is waits until an expression of the page is true.
func (b *tab) is(expression string) {
	b.t.Helper()
	defer func() {
		if b.t.Failed() {
			b.t.Log(value[string](b, "document.body.innerText"))
		}
	}()
	wait.Until(b.t, expression, func() bool { return value[bool](b, "Boolean("+expression+")") })
}

// says waits until an element holds a text.
func (b *tab) says(id, text string) {
	b.t.Helper()
	b.is(fmt.Sprintf("document.getElementById(%q).innerText.includes(%q)", id, text))
}

// write replaces the text of a field as a person does.
func (b *tab) write(id, text string) {
	b.t.Helper()
	b.run(chromedp.Focus(chromedp.ID(id)), script(fmt.Sprintf("document.getElementById(%q).select()", id)),
		insert(text))
}

// append types text at the end of the editor.
func (b *tab) append(text string) {
	b.t.Helper()
	b.run(chromedp.Focus(chromedp.ID("text")),
		script("(t => t.setSelectionRange(t.value.length, t.value.length))(document.getElementById('text'))"),
		insert(text))
}

func (b *tab) click(selector string) {
	b.t.Helper()
	b.run(chromedp.Click(chromedp.CSS(selector)))
}

// picture looks at the page in the width and colours that are asked for, whether it fits
// and can be read, and takes a picture, which the documentation shows where it has a name.
func (b *tab) picture(name string, width, height int64, scheme string) {
	b.t.Helper()
	b.run(script("document.activeElement.blur()"), size(width, height), command(emulation.SetEmulatedMedia,
		emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{
			{Name: "prefers-color-scheme", Value: scheme}}}), chromedp.Sleep(300*time.Millisecond))
	taken, err := chromedp.Run(b.ctx, chromedp.CaptureScreenshot())
	if err != nil {
		b.t.Fatal(err)
	}
	picture := smaller(b.t, taken)
	b.accessible()
	if value[bool](b, "document.documentElement.scrollWidth > innerWidth") {
		b.t.Errorf("at %d pixels the page is wider than its window", width)
	}
	if len(picture) < 10_000 {
		b.t.Errorf("a picture of %d bytes", len(picture))
	}
	if dir := os.Getenv("STEPWARD_PICTURES"); dir != "" {
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("%s-%d-%s.png", strings.ReplaceAll(b.t.Name(), "/", "-"),
			width, scheme)), picture, 0o600); err != nil {
			b.t.Fatal(err)
		}
	}
	if name != "" {
		golden.CheckPicture(b.t, "../../../docs/images/"+name, picture)
	}
}

// smaller is a picture in its 256 most frequent colours, which for text is the same.
func smaller(t *testing.T, taken []byte) []byte {
	t.Helper()
	full, err := png.Decode(bytes.NewReader(taken))
	if err != nil {
		t.Fatal(err)
	}
	bounds, count := full.Bounds(), map[color.Color]int{}
	for y := range bounds.Dy() {
		for x := range bounds.Dx() {
			count[full.At(x, y)]++
		}
	}
	colours := slices.SortedFunc(maps.Keys(count), func(a, b color.Color) int {
		return cmp.Or(count[b]-count[a], cmp.Compare(fmt.Sprint(a), fmt.Sprint(b)))
	})
	few := image.NewPaletted(bounds, colours[:min(len(colours), 256)])
	nearest := map[color.Color]uint8{}
	for c := range count {
		nearest[c] = uint8(few.Palette.Index(c))
	}
	for y := range bounds.Dy() {
		for x := range bounds.Dx() {
			few.SetColorIndex(x, y, nearest[full.At(x, y)])
		}
	}
	var out bytes.Buffer
	if err := (&png.Encoder{CompressionLevel: png.BestCompression}).Encode(&out, few); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}
