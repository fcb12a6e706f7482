import { parseArgs } from 'node:util';

/**
 * Without `--` in between, npm takes `--peer PATCHELF` for an option of its own: the script gets its value, and a variable.
 * @throws TypeError of `parseArgs`, and where npm's hands leave it open which value is the peer
 */
export function benchOptions(args: readonly string[], npmPeer = process.env.npm_config_peer) {
  const { values, positionals } = parseArgs({
    args: [...args],
    allowPositionals: npmPeer === 'true',
    options: {
      peer: { type: 'string' },
      small: { type: 'string', default: '100000' },
      rounds: { type: 'string', default: '5' },
    },
  });
  if (npmPeer === 'true' && positionals.length !== 1)
    throw new TypeError('--peer needs one path: npm run bench -- --peer PATCHELF');
  const given = npmPeer === 'true' ? positionals[0] : npmPeer;
  return { peer: values.peer ?? given, small: Number(values.small), rounds: Number(values.rounds) };
}
