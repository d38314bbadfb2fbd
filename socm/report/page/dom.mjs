// Small things: elements of the page, and places in arrays.

export const FONT = getComputedStyle(document.body).fontFamily;

export const element = (id) => document.getElementById(id);
export const clamp = (value, low, high) => Math.max(low, Math.min(high, value));

/** Makes an element; what it holds is text or elements, never markup. */
export const make = (tag, attributes = {}, ...children) => {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
};

/** Makes a part of an SVG picture. */
export const shape = (tag, attributes = {}, ...children) => {
  const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
};

/** The first place in a sorted array whose value is more than this one. */
export const after = (sorted, value) => {
  let low = 0,
    high = sorted.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (sorted[middle] > value) high = middle;
    else low = middle + 1;
  }
  return low;
};

export const swatch = (colour) => {
  const patch = make("i");
  patch.style.background = colour;
  return patch;
};
