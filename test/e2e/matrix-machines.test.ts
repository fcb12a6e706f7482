import { isForeign, testedMatrix } from '../support/matrix.js';
import { testGroup } from '../support/matrix-round.js';

// qemu is slow: these have a process of their own.
for (const group of testedMatrix().filter(isForeign)) testGroup(group);
