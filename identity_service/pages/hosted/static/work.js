// Solves an ALTCHA challenge (version 2, iterated SHA-256): finds the counter whose key has the asked-for
// beginning.  The hash is our own because the browser's is asynchronous, and one await a round would cost
// twenty times the round itself.  Everything that is hashed fits one block of 64 bytes.
"use strict";

const primes = [];
for (let n = 2; primes.length < 64; n += 1) {
  if (primes.every((prime) => n % prime)) primes.push(n);
}
const fraction = (root) => Math.floor((root - Math.floor(root)) * 2 ** 32);
// FIPS 180-4: the first 32 bits of the fractional parts of the primes' roots.
const START = Int32Array.from(primes.slice(0, 8), (prime) => fraction(Math.sqrt(prime)));
const ROUNDS = Int32Array.from(primes, (prime) => fraction(Math.cbrt(prime)));
const words = new Int32Array(64);
const state = new Int32Array(8);

const turn = (word, by) => (word >>> by) | (word << (32 - by));

/** Hash the one padded block that stands in the first sixteen `words`; the digest is left in `state`. */
const digest = () => {
  for (let i = 16; i < 64; i += 1) {
    const a = words[i - 15];
    const b = words[i - 2];
    const s0 = turn(a, 7) ^ turn(a, 18) ^ (a >>> 3);
    const s1 = turn(b, 17) ^ turn(b, 19) ^ (b >>> 10);
    words[i] = (words[i - 16] + s0 + words[i - 7] + s1) | 0;
  }
  state.set(START);
  let [a, b, c, d, e, f, g, h] = START;
  for (let i = 0; i < 64; i += 1) {
    const s1 = turn(e, 6) ^ turn(e, 11) ^ turn(e, 25);
    const t1 = (h + s1 + ((e & f) ^ (~e & g)) + ROUNDS[i] + words[i]) | 0;
    const s0 = turn(a, 2) ^ turn(a, 13) ^ turn(a, 22);
    const t2 = (s0 + ((a & b) ^ (a & c) ^ (b & c))) | 0;
    h = g; g = f; f = e; e = (d + t1) | 0;
    d = c; c = b; b = a; a = (t1 + t2) | 0;
  }
  state[0] += a; state[1] += b; state[2] += c; state[3] += d;
  state[4] += e; state[5] += f; state[6] += g; state[7] += h;
};

const unhex = (text) => Uint8Array.from(text.match(/../g) ?? [], (pair) => parseInt(pair, 16));
const hex = () => Array.from(state, (word) => (word >>> 0).toString(16).padStart(8, "0")).join("");

const END = 0x80000000 | 0; // the one bit behind the message

const solve = ({ nonce, salt, cost, keyPrefix, keyLength }) => {
  const head = new DataView(Uint8Array.from([...unhex(salt), ...unhex(nonce)]).buffer);
  const first = Array.from({ length: head.byteLength / 4 }, (_, i) => head.getInt32(i * 4));
  for (let counter = 0; ; counter += 1) {
    words.fill(0, 0, 16);
    words.set(first);
    words[first.length] = counter;
    words[first.length + 1] = END;
    words[15] = head.byteLength * 8 + 32;
    digest();
    for (let round = 1; round < cost; round += 1) {
      words.fill(0, 0, 16);
      words.set(state);
      words[8] = END;
      words[15] = 256;
      digest();
    }
    if (hex().startsWith(keyPrefix)) return { counter, derivedKey: hex().slice(0, keyLength * 2) };
  }
};

if (typeof onmessage !== "undefined") {
  onmessage = ({ data }) => postMessage(solve(data));
}
