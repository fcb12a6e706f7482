import type { ByteSource } from '../../elf/bytes.js';
import { SHT_NOTE } from '../../elf/constants.js';
import type { ElfImage } from '../../elf/image.js';
import { appendedData, type Occupied, occupiedRanges } from '../model/occupied.js';
import { findGaps, findSlack, type Slack } from '../model/slack.js';
import { Ground } from './ground.js';
import { type Place, placesInSlack } from './place.js';
import type { Room } from './room.js';
import type { Finder } from './rooms.js';
import { type SectionTableRoom, sectionTableRoom } from './section-table.js';

/**
 * What the rungs find in one file, whatever is to be placed in it, found when it is asked for. A payload that ends with a
 * record of its own place is planned several times, and the file is looked through once.
 */
export class Study {
  readonly ground: Ground;
  readonly source: ByteSource;
  /** Whether the file may grow: nothing of somebody else's is behind what the headers describe. */
  readonly mayAppend: boolean;
  readonly #image: ElfImage;
  readonly #occupied: readonly Occupied[];
  readonly #rooms = new Map<Finder, Room | undefined>();
  readonly #sections = new Map<string, SectionTableRoom | undefined>();
  readonly #slacks: { growing?: readonly Slack[]; kept?: readonly Slack[] } = {};
  #gaps: readonly Slack[] | undefined;

  private constructor(image: ElfImage, source: ByteSource) {
    this.#image = image;
    this.source = source;
    this.#occupied = occupiedRanges(image);
    this.mayAppend = !appendedData(image, this.#occupied, source);
    this.ground = new Ground(image, source, this.#occupied);
  }

  static has(image: ElfImage): boolean {
    return last?.image === image;
  }

  static of(image: ElfImage, source: ByteSource): Study {
    if (last?.image !== image || last.study.source !== source)
      last = { image, study: new Study(image, source) };
    return last.study;
  }

  /** What one of the rungs finds in the program header table. */
  room(find: Finder): Room | undefined {
    const known = this.#rooms.get(find);
    if (known !== undefined || this.#rooms.has(find)) return known;
    const found = find(this.ground);
    this.#rooms.set(find, found);
    return found;
  }

  /** Room for one more section header, and for those of what is copied; undefined where the file may not grow. */
  sections(copied: readonly number[]): SectionTableRoom | undefined {
    if (!this.mayAppend) return undefined;
    const key = copied.join();
    if (!this.#sections.has(key))
      this.#sections.set(key, sectionTableRoom(this.#image, this.source, this.#occupied, copied));
    return this.#sections.get(key);
  }

  /** Behind read-only segments, and only where that does not do, inside them. */
  placesInSlack(sections: SectionTableRoom | undefined, room: Room, noteSize: number): Place[] {
    const places = (slacks: readonly Slack[]) =>
      placesInSlack(this.#image, this.source, slacks, room, noteSize);
    const behind = places(this.#behind(sections));
    if (room.front === undefined && behind.length > 0) return behind;
    this.#gaps ??= findGaps(this.#image, this.source, this.#occupied, spaceForPatchelf(this.#image));
    return [...behind, ...places(this.#gaps)];
  }

  #behind(sections: SectionTableRoom | undefined): readonly Slack[] {
    // New section headers and names would be where a segment that ends the file wants to grow.
    const mayGrow = this.mayAppend && (sections === undefined || sections.fileEnd === this.#image.size);
    const key = mayGrow ? 'growing' : 'kept';
    this.#slacks[key] ??= findSlack(this.#image, this.#occupied, mayGrow);
    return this.#slacks[key];
  }
}

/** All rounds of planning are over one file. */
let last: { readonly image: ElfImage; readonly study: Study } | undefined;

/**
 * Where the room ends that patchelf makes for its program headers: it looks for what is there in the order of the section
 * headers, in which a note's is the last.
 */
function spaceForPatchelf({ header, programHeaders, sectionHeaders }: ElfImage): number {
  const notes = sectionHeaders.filter(({ sh_type }) => sh_type === SHT_NOTE).length;
  return header.e_phoff + (programHeaders.length + notes + 4) * header.e_phentsize;
}
