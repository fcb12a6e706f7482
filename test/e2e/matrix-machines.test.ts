import { FOREIGN, testedMatrix } from '../support/matrix.js';
import { testGroup } from '../support/matrix-round.js';

const MACHINES = FOREIGN.map(({ name }) => name);

// qemu is slow: these have a process of their own.
for (const group of testedMatrix().filter(({ name }) => MACHINES.includes(name))) testGroup(group);
