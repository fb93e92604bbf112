// Answers and explanations, as they are shown.
import { h, pill } from './dom.js'

const row = (name, ...values) => {
  const shown = values.flat().filter(Boolean)
  return shown.length ? [h('dt', {}, name), h('dd', {}, shown.map((v) => h('div', {}, v)))] : []
}
const by = (rule) => rule && h('span', { class: 'rule' }, ' ← ', rule)

// wire is what the client gets beside the status.
export function wire(answer) {
  return [
    answer.www_authenticate && [h('h3', {}, 'WWW-Authenticate'), h('pre', { class: 'wire' }, answer.www_authenticate)],
    answer.location && [h('h3', {}, 'Location'), h('pre', { class: 'wire' }, answer.location)],
  ]
}

// headers are what the application gets.
export function headers(list) {
  const names = Object.keys(list ?? {}).sort()
  return names.length > 0 && [h('h3', {}, 'The application gets'), h('pre', { class: 'wire' }, names.map((n) => `${n}: ${list[n]}`).join('\n'))]
}

function who(e) {
  if (e.token_failure) return `nobody: ${e.token_failure}`
  if (!e.token) return 'nobody'
  const t = e.token
  const what = t.principal === 'client' ? `program "${t.client_id || t.subject}"` : `user "${t.subject}"`
  return `${what} of issuer ${t.issuer_name}`
}

const proof = (e) => [e.level && `level ${e.level}`, e.token?.acr && `acr ${e.token.acr}`, e.token?.amr?.length && `amr ${e.token.amr.join(' ')}`,
  e.auth_age !== undefined && `authenticated ${e.auth_age} s ago`, e.token?.sender_constrained && 'sender-constrained'].filter(Boolean).join(', ')

// stages are every stage of an explanation.
export function stages(e) {
  return h('dl', {},
    row('request', h('code', {}, `${e.request.method} ${e.request.host}${e.request.raw_path}`), h('span', { class: 'why' }, `segments ${JSON.stringify(e.request.segments ?? [])}, kind ${e.request.kind}`)),
    row('presented', e.presented ? `a ${e.presented} token` : 'nothing', e.claimed),
    row('who', who(e)),
    row('proves', e.token && proof(e)),
    row('fault', e.fault && h('span', { class: 'error' }, e.fault)),
    row('required', (e.required ?? []).map((q) => h('span', {}, q.text, q.reason && `: ${q.reason}`, by(q.rule)))),
    row('denied', (e.denied ?? []).map((d) => h('span', {}, d.code || 'refused', d.reason && `: ${d.reason}`, by(d.rule)))),
    row('missing', (e.missing ?? []).map((m) => h('span', {}, h('strong', {}, m.part), by(m.rule)))),
    row('observed', (e.observed_only ?? []).map((m) => h('span', {}, `${m.part} would be missing`, by(m.rule)))),
    row('answer', h('span', {}, pill(e.answer.result, e.answer.result), ` ${e.answer.allowed ? '' : e.answer.status + ' '}${e.answer.reason}`)),
    row('removed', e.answer.removed_headers?.length > 0 && h('span', { class: 'rule' }, e.answer.removed_headers.join(', '))),
    row('policy', h('span', { class: 'why' }, `revision ${e.policy_revision}`)))
}

// fired are the rules that held, with the values of their variables.
export function fired(list) {
  if (!list?.length) return h('p', { class: 'why' }, 'no rule held')
  return h('ul', { class: 'fired' }, list.map((f) => h('li', {}, h('code', {}, f.rule),
    Object.keys(f.values ?? {}).sort().map((n) => h('div', { class: 'rule bind' }, `${n} = ${f.values[n]}`)))))
}

// needed is what would satisfy the rules, in words.
export function needed(a) {
  if (a.result !== 'challenge' && a.result !== 'redirect') return ''
  const words = [a.level && `level ${a.level}`, a.acr_values?.length && `acr ${a.acr_values.join(' or ')}`, a.max_age !== undefined && `in the last ${a.max_age} s`, a.scope?.length && `scope ${a.scope.join(' ')}`].filter(Boolean)
  return words.length ? `Would need ${words.join(', ')}.` : ''
}
