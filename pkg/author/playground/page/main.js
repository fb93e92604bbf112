// The page: what one works on, and what comes of it.
import { $, ask, h, pill, tell } from './dom.js'
import { Editor } from './editor.js'
import { fired, headers, needed, stages, wire } from './explain.js'
import { Live } from './live.js'

const settings = 'stepward.yaml'
let work // the workspace; its scenario is kept by the form
let file = '' // the one in the editor
let last = {} // result of the last question that was answered
let changed = false // since it was saved
const clients = []

const editor = new Editor((text) => {
  if (file === settings) work.settings = text
  else work.policy.find((f) => f.name === file).text = text
  touched()
})

// Files

function showFile(name) {
  const focused = $('files').contains(document.activeElement)
  file = name
  const names = [...work.policy.map((f) => f.name), settings]
  $('files').replaceChildren(...names.map((n) => h('button', {
    type: 'button', role: 'tab', 'aria-selected': String(n === name), tabindex: n === name ? 0 : -1, 'aria-controls': 'editor', onclick: () => showFile(n),
    onkeydown: (e) => {
      const step = { ArrowRight: 1, ArrowLeft: -1 }[e.key]
      if (!step) return
      showFile(names[(names.indexOf(name) + step + names.length) % names.length])
    },
  }, n)))
  if (focused) $('files').querySelector('[aria-selected=true]').focus()
  $('remove-file').hidden = name === settings || work.policy.length === 1
  editor.show(name === settings ? work.settings : work.policy.find((f) => f.name === name).text)
  showFindings()
}

function addFile(e) {
  e.preventDefault()
  const name = $('new-name').value.trim()
  if (!/^[^/\\:][^\\:]*\.(rego|json|ya?ml)$/.test(name) || name === settings || work.policy.some((f) => f.name === name)) {
    tell(`${JSON.stringify(name)} is no name for another file; such as data.json or tenants.rego`)
    return
  }
  tell('')
  $('new-file').hidden = true
  $('new-name').value = ''
  work.policy.push({ name, text: name.endsWith('.rego') ? 'package stepward.policy\n\nimport rego.v2\n' : name.endsWith('.json') ? '{}\n' : '' })
  showFile(name)
  editor.area.focus()
  touched()
}

function removeFile() {
  work.policy = work.policy.filter((f) => f.name !== file)
  showFile(work.policy[0].name)
  touched()
}

// Findings

function showFindings() {
  const all = [...(last.findings ?? []), ...(last.warnings ?? [])]
  for (const tab of $('files').children) tab.classList.toggle('refused', (last.findings ?? []).some((f) => f.file === tab.textContent))
  editor.mark(all.filter((f) => f.file === file))
  $('findings').replaceChildren(...all.map((f) => {
    const known = f.file === settings || work.policy.some((p) => p.name === f.file)
    return h('li', { class: f.severity === 'warning' ? 'warned' : 'refused' }, h('button', {
      type: 'button', onclick: () => { if (known && f.file !== file) showFile(f.file); if (known) editor.goto(f.line, f.column) },
    }, h('span', { class: 'mono' }, `${f.file}:${f.line}:${f.column} `), f.message, f.hint && h('span', { class: 'hint' }, f.hint)))
  }))
}

// The scenario

const lines = (text, separator, what) => {
  const out = {}
  for (const line of text.split('\n').map((l) => l.trim()).filter(Boolean)) {
    const at = line.indexOf(separator)
    if (at < 1) throw new Error(`${what}: ${JSON.stringify(line)} has no ${JSON.stringify(separator)}`)
    out[line.slice(0, at).trim()] = line.slice(at + 1).trim()
  }
  return Object.keys(out).length ? out : undefined
}
const unlines = (list, separator) => Object.entries(list ?? {}).map(([k, v]) => `${k}${separator}${v}`).join('\n')

function json(text, what) {
  if (!text.trim()) return undefined
  try {
    return JSON.parse(text)
  } catch (e) {
    throw new Error(`${what}: not JSON: ${e.message}`)
  }
}

function claims() {
  const token = json($('token').value, 'token')
  if (token !== undefined && (token === null || typeof token !== 'object' || Array.isArray(token))) throw new Error('token: claims are an object, such as {"level": "mfa"}')
  return token
}

const plain = ['method', 'path', 'host', 'address', 'principal']

// readScenario is what the form says. It throws what is wrong with it.
function readScenario() {
  const s = { as: document.querySelector('[name=as]:checked').value }
  for (const id of plain) if ($(id).value.trim()) s[id] = $(id).value.trim()
  s.headers = lines($('headers').value, ':', 'headers')
  s.body = json($('request-body').value, 'body')
  s.route = lines($('route').value, '=', 'route')
  s.token = claims()
  return s
}

function showScenario(s) {
  const as = clients.includes(s.as) ? s.as : 'api'
  document.querySelector(`[name=as][value=${as}]`).checked = true
  for (const id of plain) $(id).value = s[id] ?? ''
  if (!s.method) $('method').value = 'GET'
  $('headers').value = unlines(s.headers, ': ')
  $('request-body').value = s.body === undefined ? '' : JSON.stringify(s.body)
  $('route').value = unlines(s.route, '=')
  $('token').value = s.token ? JSON.stringify(s.token, null, 2) : ''
  $('more').open = ['host', 'headers', 'body', 'route', 'address', 'principal'].some((n) => s[n] !== undefined) && !(s.host && Object.keys(s).every((n) => ['as', 'method', 'path', 'host', 'token'].includes(n)))
  showLevels()
}

// showLevels brings the two quick fields in step with the claims.
function showLevels() {
  let token
  try { token = claims() } catch { return }
  const held = token === undefined ? 'nobody' : token.level ?? ''
  const names = ['nobody', ...(last.levels ?? []).filter((l) => l !== 'anonymous')]
  if (!names.includes(held)) names.push(held)
  if ([...$('level').options].map((o) => o.value).join() !== names.join()) $('level').replaceChildren(...names.map((n) => h('option', { value: n }, n || 'what the claims say')))
  $('level').value = held
  if (document.activeElement !== $('age')) $('age').value = token?.auth_age ?? ''
  $('age').disabled = token === undefined
}

// setClaims changes the claims by the quick fields.
function setClaims(change) {
  let token = {}
  try { token = claims() ?? {} } catch { /* is replaced */ }
  token = change(token)
  $('token').value = token ? JSON.stringify(token, null, 2) : ''
  showLevels()
  touched()
}

// Questions

let timers = {}, running = {}

function later(what, wait, run) {
  clearTimeout(timers[what])
  timers[what] = setTimeout(async () => {
    running[what]?.abort()
    const mine = (running[what] = new AbortController())
    try {
      await run(mine.signal)
    } catch (e) {
      if (e.name === 'AbortError' || e.status === 409 || mine !== running[what]) return
      stale(true)
      tell(e.message, 'question')
    }
  }, wait)
}

function touched() {
  changed = true
  question()
}

function question(wait = 150) {
  let scenario
  try {
    scenario = readScenario()
    problem('')
  } catch (e) {
    for (const what of Object.keys(timers)) clearTimeout(timers[what])
    for (const asked of Object.values(running)) asked.abort()
    problem(e.message)
    stale(true)
    return
  }
  work.scenario = scenario
  const body = JSON.stringify(work)
  later('evaluate', wait, async (signal) => {
    const start = performance.now()
    const result = await ask('api/evaluate', body, signal)
    tell('', 'question')
    show(result, Math.round(performance.now() - start))
  })
  later('matrix', wait * 3, async (signal) => showMatrix(await ask('api/matrix', body, signal)))
}

function problem(text) {
  $('scenario-error').textContent = text
  $('scenario-error').hidden = !text
}

function stale(is) {
  $('stale').hidden = !is
  $('answer').classList.toggle('stale', is)
}

// show takes a result. Where nothing was played the last answers stay, marked as stale.
function show(result, took) {
  const { clients: before, levels } = last
  last = { ...result, clients: result.clients ?? before, levels: result.levels ?? levels }
  showFindings()
  showLevels()
  problem(result.problem ?? '')
  stale(!result.clients)
  const count = result.findings?.length ?? 0
  $('state').textContent = count ? `${count} ${count === 1 ? 'finding' : 'findings'}, nothing in force` : `revision ${result.policy_revision}, ${took} ms`
  if (result.clients) showAnswers()
}

function showAnswers() {
  const as = document.querySelector('[name=as]:checked').value
  const mine = last.clients?.find((c) => c.as === as)
  if (!last.clients) return
  const focused = document.activeElement.closest('#by-client tr')?.dataset.as
  const rows = clients.map((name) => {
    const c = last.clients.find((x) => x.as === name)
    const choose = () => { document.querySelector(`[name=as][value=${name}]`).checked = true; touched(); showAnswers() }
    return h('tr', { 'data-as': name, 'aria-current': name === as && 'true', onclick: choose },
      h('td', {}, h('button', { type: 'button' }, name)),
      h('td', {}, c ? pill(c.answer.result, `${c.answer.status} ${c.answer.result}`) : 'not asked'),
      h('td', {}, c?.answer.reason))
  })
  $('answers').replaceChildren(...[
    h('table', { id: 'by-client' }, h('thead', {}, h('tr', {}, ['Client', 'Answer', 'Reason'].map((t) => h('th', { scope: 'col' }, t)))), h('tbody', {}, rows)),
    mine ? detail(mine) : h('p', { class: 'error' }, 'Not asked: the time of the policy was up for a client before.'),
  ].flat(9).filter(Boolean))
  if (focused) document.querySelector(`#by-client tr[data-as=${focused}] button`).focus()
  const spoken = mine ? `${as}: ${mine.answer.status} ${mine.answer.reason}` : `${as}: not asked`
  if ($('spoken').textContent !== spoken) $('spoken').textContent = spoken
}

function detail({ answer: a, explanation: e, fired: rules }) {
  return [
    h('p', { class: 'headline' }, `${a.status} ${a.reason}`),
    h('p', { class: 'why' }, needed(a)),
    a.fault && h('p', { class: 'error' }, a.fault),
    wire(a),
    h('h3', {}, 'Rules that held'), fired(rules),
    h('h3', {}, 'Stages'), stages(e),
    headers(a.headers),
    a.metadata && Object.keys(a.metadata).length > 0 && [h('h3', {}, 'Metadata'), h('pre', { class: 'wire' }, JSON.stringify(a.metadata, null, 2))],
  ].filter(Boolean)
}

// showMatrix takes a matrix. Where the policy is refused the last one stays, marked.
function showMatrix(m) {
  const keep = Boolean(m.refused && $('rows').querySelector('table'))
  $('matrix-stale').hidden = !keep
  $('matrix').classList.toggle('stale', keep)
  if (keep) return
  $('public').textContent = m.lines ? `${m.public?.length ?? 0} public` : ''
  $('rows').replaceChildren(m.lines
    ? h('table', {}, h('thead', {}, h('tr', {}, ['Method', 'Route', 'Who', 'Needs', 'By'].map((t) => h('th', { scope: 'col' }, t)))),
      h('tbody', {}, m.lines.map((l) => h('tr', { class: l.public && 'public' }, h('td', {}, l.method), h('td', {}, h('code', {}, l.route)), h('td', {}, l.callers),
        h('td', {}, l.needs, l.public && [' ', pill('challenge', 'public')], (l.if ?? []).map((i) => h('code', { class: 'if' }, `+ ${i}`))), h('td', {}, (l.rules ?? []).map((r) => h('div', { class: 'rule' }, r)))))))
    : h('p', { class: 'hint' }, m.problem))
}

// Files of whole workspaces

function begin(workspace) {
  work = workspace
  last = { levels: last.levels }
  changed = false
  $('rows').replaceChildren()
  $('routes').value = work.routes
  showScenario(work.scenario)
  showFile(work.policy[0].name)
  question(0)
}

async function openFile(chosen) {
  if (!chosen) return
  if (changed && !confirm('What is not saved will be gone. Open the file?')) return
  try {
    begin(await ask('api/open', await chosen.text()))
    view('playground')
    tell('')
  } catch (e) {
    tell(`${chosen.name}: ${e.message}`)
  }
}

function save() {
  try {
    work.scenario = readScenario()
  } catch (e) {
    tell(`not saved: ${e.message}`)
    return
  }
  const url = URL.createObjectURL(new Blob([JSON.stringify(work, null, 2) + '\n'], { type: 'application/json' }))
  h('a', { href: url, download: 'playground.json' }).click()
  setTimeout(() => URL.revokeObjectURL(url), 10_000)
  changed = false
  tell('')
}

// Views

function view(name) {
  for (const v of ['playground', 'live']) {
    $(v).hidden = v !== name
    if (v === name) $(`show-${v}`).setAttribute('aria-current', 'page')
    else $(`show-${v}`).removeAttribute('aria-current')
  }
  for (const id of ['open', 'save']) $(id).hidden = name !== 'playground'
  $('state').hidden = name !== 'playground'
}

function listen() {
  $('add-file').addEventListener('click', () => { $('new-file').hidden = !$('new-file').hidden; $('new-name').focus() })
  $('new-file').addEventListener('submit', addFile)
  $('remove-file').addEventListener('click', removeFile)
  $('clients').addEventListener('change', () => { touched(); showAnswers() })
  for (const id of [...plain, 'headers', 'request-body', 'route']) $(id).addEventListener('input', touched)
  $('token').addEventListener('input', () => { showLevels(); touched() })
  $('routes').addEventListener('input', () => { work.routes = $('routes').value; touched() })
  $('level').addEventListener('input', () => setClaims(({ level, ...rest }) => ($('level').value === 'nobody' ? undefined : $('level').value ? { level: $('level').value, ...rest } : rest)))
  $('age').addEventListener('change', () => setClaims(({ auth_age, ...rest }) => ($('age').value.trim() ? { ...rest, auth_age: $('age').value.trim() } : rest)))
  $('open').addEventListener('click', () => $('file').click())
  $('file').addEventListener('change', () => {
    const [chosen] = $('file').files
    $('file').value = '' // so that the same file can be chosen again
    openFile(chosen)
  })
  $('save').addEventListener('click', save)
  $('show-playground').addEventListener('click', () => view('playground'))
  $('show-live').addEventListener('click', () => view('live'))
  const files = (e) => e.dataTransfer?.types.includes('Files')
  document.addEventListener('dragover', (e) => { if (files(e)) { e.preventDefault(); $('drop').hidden = false } })
  document.addEventListener('dragleave', (e) => { if (!e.relatedTarget) $('drop').hidden = true })
  document.addEventListener('drop', (e) => { if (files(e)) { e.preventDefault(); $('drop').hidden = true; openFile(e.dataTransfer.files[0]) } })
  window.addEventListener('beforeunload', (e) => { if (changed) e.preventDefault() })
}

async function start() {
  const state = await (await fetch('api/state')).json()
  clients.push(...state.clients)
  $('clients').append(...clients.map((c) => h('label', {}, h('input', { type: 'radio', name: 'as', value: c }), c)))
  listen()
  begin(state.workspace)
  if (!state.live) return
  $('show-live').hidden = false
  view('live')
  new Live((scenario) => { showScenario(scenario); view('playground'); touched() }).run()
}

start().catch((e) => tell(`the page could not begin: ${e.message}`))
