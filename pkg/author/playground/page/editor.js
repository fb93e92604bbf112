// The editor: a text area, with the same text in colours below it, line numbers, and what
// was found beside its line.
import { $, h } from './dom.js'

const words = /(#[^\n]*)|("(?:[^"\\\n]|\\.)*"?|`[^`]*`?)|\b(package|import|if|contains|not|in|some|every|with|as|default|else|true|false|null)\b|\b(\d+(?:\.\d+)?)\b|\b(require|deny|headers|response_headers|metadata)\b/g
const classes = ['', 'c', 's', 'k', 'n', 'd']

// coloured is a line as spans and text.
function coloured(line) {
  const out = []
  let end = 0
  for (const m of line.matchAll(words)) {
    const kind = m.findIndex((x, i) => i > 0 && x !== undefined)
    out.push(line.slice(end, m.index), h('span', { class: classes[kind] }, m[0]))
    end = m.index + m[0].length
  }
  out.push(line.slice(end))
  return out
}

export class Editor {
  constructor(changed) {
    this.marks = []
    this.area = $('text')
    this.area.addEventListener('input', () => { this.draw(); changed(this.area.value) })
    this.area.addEventListener('scroll', () => this.scroll())
    this.area.addEventListener('keydown', (e) => this.key(e))
  }

  show(text) {
    if (this.area.value !== text) this.area.value = text
    this.marks = []
    this.draw()
  }

  // mark shows findings of this file beside their lines.
  mark(findings) {
    this.marks = findings
    this.draw()
  }

  draw() {
    const lines = this.area.value.split('\n')
    const shown = [], numbers = []
    lines.forEach((line, i) => {
      const here = this.marks.filter((f) => f.line === i + 1)
      const kind = here.length === 0 ? undefined : here.every((f) => f.severity === 'warning') ? 'warned' : 'refused'
      shown.push(h('div', { class: kind }, coloured(line), kind && h('span', { class: 'note' }, here[0].message.split('\n')[0])))
      numbers.push(h('span', { class: kind }, String(i + 1)), '\n')
    })
    $('shown').replaceChildren(...shown)
    $('gutter').replaceChildren(h('div', {}, numbers))
    this.scroll()
  }

  scroll() {
    $('shown').style.transform = `translate(${-this.area.scrollLeft}px, ${-this.area.scrollTop}px)`
    if ($('gutter').firstChild) $('gutter').firstChild.style.transform = `translateY(${-this.area.scrollTop}px)`
  }

  // key indents with Tab, unless Escape was pressed before, and keeps the indentation.
  key(e) {
    const leave = this.leave
    this.leave = e.key === 'Escape' || (leave && e.key === 'Shift')
    if (e.key === 'Tab' && !e.shiftKey && !leave) {
      e.preventDefault()
      this.insert('\t')
    } else if (e.key === 'Enter' && !e.isComposing && !e.ctrlKey && !e.metaKey) {
      e.preventDefault()
      const before = this.area.value.slice(0, this.area.selectionStart)
      const line = before.slice(before.lastIndexOf('\n') + 1)
      this.insert('\n' + line.match(/^[ \t]*/)[0] + (/[{[(]\s*$/.test(line) ? '\t' : ''))
    }
  }

  // insert types text, so that it can be undone.
  insert(text) {
    document.execCommand('insertText', false, text)
  }

  // goto puts the caret at a place.
  goto(line, column) {
    const lines = this.area.value.split('\n')
    const at = lines.slice(0, line - 1).reduce((n, l) => n + l.length + 1, 0) + Math.min(column - 1, (lines[line - 1] ?? '').length)
    this.area.focus()
    this.area.setSelectionRange(at, at)
    this.area.scrollTop = Math.max(0, (line - 6) * 18)
  }
}
