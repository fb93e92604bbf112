// The live view: decisions as they are made, the newest first.
import { $, h, pill } from './dom.js'
import { headers, stages, wire } from './explain.js'

const kept = 1000 // decisions
const drawn = 300 // rows

export class Live {
  constructor(replay) {
    this.seen = []
    this.paused = false
    for (const id of ['filter', 'result']) $(id).addEventListener('input', () => this.draw())
    $('pause').addEventListener('click', () => {
      this.paused = !this.paused
      $('pause').setAttribute('aria-pressed', this.paused)
      $('pause').textContent = this.paused ? 'Resume' : 'Pause'
      this.draw()
    })
    $('replay').addEventListener('click', () => replay(this.chosen.scenario))
  }

  // run follows the stream, and comes back to it after a pause.
  async run() {
    for (let wait = 1; ; wait = Math.min(wait * 2, 15)) {
      try {
        if (await this.follow()) wait = 1
      } catch {
        this.link(false, 'the command that serves this page has ended')
      }
      await new Promise((resolve) => setTimeout(resolve, wait * 1000))
    }
  }

  async follow() {
    const res = await fetch('api/live')
    if (!res.ok) throw new Error(res.statusText)
    this.seen = []
    this.draw()
    this.link(true, 'following')
    let rest = '', any = false
    for (const reader = res.body.pipeThrough(new TextDecoderStream()).getReader(); ;) {
      const { done, value } = await reader.read()
      if (done) break
      const lines = (rest + value).split('\n')
      rest = lines.pop()
      for (const line of lines.filter(Boolean)) {
        const x = JSON.parse(line)
        if (x.end) this.link(false, x.end)
        else any = this.take(x) || any
      }
    }
    return any
  }

  link(up, text) {
    $('link').textContent = text
    $('link').classList.toggle('up', up)
  }

  take(x) {
    this.seen.unshift(x)
    this.seen.length = Math.min(this.seen.length, kept)
    if (!this.drawing && !this.paused) this.drawing = requestAnimationFrame(() => this.draw())
    return true
  }

  matches(e) {
    const result = $('result').value, text = $('filter').value.toLowerCase()
    const all = [e.request.method, e.request.host, e.request.path, e.request.raw_path, e.request.asked, e.token?.subject, e.token?.client_id, e.answer.reason, e.answer.result, e.rule, e.decision_id].join(' ').toLowerCase()
    return (!result || result === e.answer.result) && text.split(/\s+/).every((word) => all.includes(word))
  }

  draw() {
    this.drawing = undefined
    const shown = this.seen.filter((x) => this.matches(x.decision)).slice(0, drawn)
    const focused = document.activeElement?.closest?.('#list tr')?.dataset.id
    $('list').replaceChildren(...shown.map((x) => this.row(x)))
    if (focused) [...$('list').children].find((r) => r.dataset.id === focused)?.querySelector('button').focus()
    $('none').hidden = shown.length > 0
    $('none').textContent = this.seen.length ? 'No decision matches.' : 'No decision yet.'
  }

  row(x) {
    const e = x.decision
    const has = e.token ? e.level : '–'
    const levels = e.required_level && e.required_level !== 'anonymous' ? `${has} → ${e.required_level}` : has
    const who = e.token ? (e.token.principal === 'client' ? e.token.client_id || e.token.subject : e.token.subject) : e.token_failure ? 'a token that is not accepted' : 'nobody'
    return h('tr', { 'data-id': e.decision_id, 'aria-current': this.chosen?.decision.decision_id === e.decision_id && 'true', onclick: () => this.choose(x) },
      h('td', {}, h('span', { class: 'mono' }, new Date(e.time).toLocaleTimeString('en-GB'))),
      h('td', {}, pill(e.answer.result, e.answer.allowed ? 'allow' : `${e.answer.result} ${e.answer.status}`)),
      h('td', {}, h('button', { type: 'button', title: e.request.raw_path }, h('code', {}, `${e.request.method} ${e.request.raw_path || e.request.asked || '(not read)'}`))),
      h('td', { title: who }, who),
      h('td', { title: levels }, levels),
      h('td', { title: e.rule }, h('span', { class: 'rule' }, /\((.*)\)$/.exec(e.rule ?? '')?.[1] ?? e.rule)))
  }

  choose(x) {
    this.chosen = x
    const e = x.decision
    $('replay').hidden = !x.scenario
    $('explained').replaceChildren(...[
      h('p', { class: 'headline' }, `${e.answer.allowed ? 200 : e.answer.status} ${e.answer.reason}`),
      h('p', { class: 'why' }, `${new Date(e.time).toISOString()}, ${e.duration_ms} ms`),
      h('p', { class: 'rule' }, `decision ${e.decision_id}`),
      wire(e.answer), h('h3', {}, 'Stages'), stages(e), headers(e.answer.upstream_headers),
      h('p', { class: 'hint' }, 'Query, headers, body and other claims are not kept, and so not in the playground.'),
    ].flat(9).filter(Boolean))
    for (const r of $('list').children) r.toggleAttribute('aria-current', false)
    for (const r of $('list').children) if (r.dataset.id === e.decision_id) r.setAttribute('aria-current', 'true')
  }
}
