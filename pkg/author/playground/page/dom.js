// Small ways to make elements. Data becomes text nodes, never markup; the page's content
// policy would refuse the other.

export const $ = (id) => document.getElementById(id)

// h makes an element. Children are elements, or text; empty ones are left out.
export function h(name, attributes = {}, ...children) {
  const e = document.createElement(name)
  for (const [key, value] of Object.entries(attributes ?? {})) {
    if (value === undefined || value === null || value === false) continue
    if (key.startsWith('on')) e.addEventListener(key.slice(2), value)
    else e.setAttribute(key, value === true ? '' : value)
  }
  e.append(...children.flat(9).filter((c) => c !== undefined && c !== null && c !== false && c !== ''))
  return e
}

export const pill = (result, ...text) => h('span', { class: `pill ${result === 'error' ? 'error-result' : result}` }, ...text)

// tell shows a message. One of another source stays until that source takes it back, or
// a newer message comes.
export function tell(text, source = '') {
  if (!text && $('message').dataset.source !== source) return
  $('message').textContent = text
  $('message').dataset.source = source
  $('message').hidden = !text
}

const page = crypto.randomUUID() // one page asks one question at a time

// ask sends a question. The error has the text that the server gave.
export async function ask(path, body, signal) {
  let res
  try {
    res = await fetch(path, { method: 'POST', body, signal, headers: { 'content-type': 'application/json', 'x-page': page } })
  } catch (e) {
    if (e.name === 'AbortError') throw e
    throw new Error('the command that serves this page has ended; save your work before you close the page')
  }
  const answer = await res.json()
  if (!res.ok) throw Object.assign(new Error(answer.error ?? res.statusText), { status: res.status })
  return answer
}
