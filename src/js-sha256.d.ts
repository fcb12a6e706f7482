/** The package's entry for Node is Node's own hash. */
declare module 'js-sha256/build/sha256.js' {
  export { default } from 'js-sha256';
}
