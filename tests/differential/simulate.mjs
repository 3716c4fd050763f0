// What another IAM simulator says about cases of ours, for the differential test of the policy evaluator.
//
// Reads NDJSON on standard input, one case a line:
//   {"id":n,"policies":[…],"boundaries":[…]?,"scps":[…]?,"action":"…","resource":"…","ctx":{key: "…" | ["…"]}}
// and prints one line a case, in the same order:
//   {"id":n,"verdict":"Allow"|"ExplicitDeny"|"ImplicitDeny"|"Error","why":"…"}
//
// The other side is @cloud-copilot/iam-simulate (AGPL-3.0-or-later): a separate program, installed into
// target/tools/iam-simulate (or where IAM_SIMULATE says), never linked, vendored or shipped.
//
// The caller is a session of one role in one account, which owns the resource as well. All policies in "scps" are
// attached to one and the same place of the organization; all in "boundaries" are put together. A case that cannot
// be judged is an "Error" with the reason and ends nothing. So is one with a context key that the simulator would
// drop without a word, because then the two sides would judge different requests.

import { createRequire } from 'node:module'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { join, resolve } from 'node:path'

const ACCOUNT = '111122223333'
const PRINCIPAL = `arn:aws:sts::${ACCOUNT}:assumed-role/bedrock-perimeter-legal/differential`
const VERDICTS = { Allowed: 'Allow', ExplicitlyDenied: 'ExplicitDeny', ImplicitlyDenied: 'ImplicitDeny' }

// Dates without a zone are read in the local one by JavaScript: make that the same everywhere.
process.env.TZ = 'UTC'

async function simulator() {
  const here = fileURLToPath(new URL('../../target/tools/iam-simulate', import.meta.url))
  const prefix = resolve(process.env.IAM_SIMULATE || here)
  const found = createRequire(join(prefix, 'package.json')).resolve('@cloud-copilot/iam-simulate')
  const loaded = await import(pathToFileURL(found))
  return (loaded.runSimulation ? loaded : loaded.default).runSimulation
}

const named = (kind, policies) => (policies ?? []).map((policy, at) => ({ name: `${kind}-${at}`, policy }))

function simulation(one) {
  const boundaries = named('boundary', one.boundaries)
  const scps = named('scp', one.scps)
  return {
    request: {
      principal: PRINCIPAL,
      action: one.action,
      resource: { resource: one.resource, accountId: ACCOUNT },
      contextVariables: one.ctx ?? {},
    },
    identityPolicies: named('policy', one.policies),
    permissionBoundaryPolicies: boundaries.length ? boundaries : undefined,
    serviceControlPolicies: scps.length ? [{ orgIdentifier: 'root', policies: scps }] : [],
    resourceControlPolicies: [],
  }
}

// The errors of a refused case as one short line.
function refusal(errors) {
  const { message, ...rest } = errors
  const told = []
  for (const found of Object.values(rest).flatMap((kind) => (Array.isArray(kind) ? kind : Object.values(kind).flat()))) {
    told.push(typeof found === 'string' ? found : `${found.path}: ${found.message}`)
  }
  return [message, ...told].join('; ')
}

// The statements that decided, as policy/index, and what stood in the way of an allow.
function reasons(analysis) {
  const decided = []
  const note = (kind, found) => {
    for (const one of [...(found?.denyStatements ?? []), ...(found?.allowStatements ?? [])]) {
      decided.push(`${kind}:${one.statement.effect()} ${one.policyId}/${one.statement.index()}`)
    }
  }
  note('identity', analysis.identityAnalysis)
  note('boundary', analysis.permissionBoundaryAnalysis)
  for (const place of analysis.scpAnalysis?.ouAnalysis ?? []) note('scp', place)
  if (analysis.blockedBy?.length) decided.push(`blocked by ${analysis.blockedBy.join(', ')}`)
  return decided.join('; ') || 'no statement matches'
}

async function judge(runSimulation, one) {
  const outcome = await runSimulation(simulation(one), { simulationMode: 'Strict' })
  if (outcome.resultType === 'error') return { verdict: 'Error', why: refusal(outcome.errors) }
  const first = outcome.result ?? outcome.results[0]
  const ignored = first?.ignoredContextKeys ?? []
  if (ignored.length) return { verdict: 'Error', why: `context keys dropped: ${ignored.join(', ')}` }
  const verdict = VERDICTS[outcome.overallResult]
  if (!verdict) return { verdict: 'Error', why: `unknown result ${outcome.overallResult}` }
  return { verdict, why: first ? reasons(first.analysis) : 'no statement matches' }
}

// Lines end with \n and nothing else: a value may hold any other character that is a line break to somebody.
async function* linesOf(stream) {
  let rest = ''
  for await (const chunk of stream.setEncoding('utf8')) {
    const parts = (rest + chunk).split('\n')
    rest = parts.pop()
    yield* parts
  }
  if (rest) yield rest
}

async function main() {
  const runSimulation = await simulator()
  let lines = []
  for await (const line of linesOf(process.stdin)) {
    if (!line.trim()) continue
    let id = null
    let said
    try {
      const one = JSON.parse(line)
      id = one.id ?? null
      said = await judge(runSimulation, one)
    } catch (error) {
      said = { verdict: 'Error', why: String(error?.message ?? error) }
    }
    lines.push(JSON.stringify({ id, ...said }))
    if (lines.length === 1000) {
      process.stdout.write(lines.join('\n') + '\n')
      lines = []
    }
  }
  if (lines.length) process.stdout.write(lines.join('\n') + '\n')
}

await main()
