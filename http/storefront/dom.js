// Elements from data. Text only ever becomes a text node, so nothing that a
// catalogue holds is read as markup.

const SVG = "http://www.w3.org/2000/svg";

// el makes an element. Properties whose name begins with "on" are listeners;
// others are attributes, left out where they are null or false.
export function el(name, properties = {}, ...children) {
  return fill(document.createElement(name), properties, children);
}

// svg is el for drawings.
export function svg(name, properties = {}, ...children) {
  return fill(document.createElementNS(SVG, name), properties, children);
}

function fill(element, properties, children) {
  for (const [name, value] of Object.entries(properties)) {
    if (name.startsWith("on")) {
      element.addEventListener(name.slice(2), value);
    } else if (value !== null && value !== undefined && value !== false) {
      element.setAttribute(name, value === true ? "" : value);
    }
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return element;
}

// announce has screen readers say something.
export function announce(text) {
  document.getElementById("announcer").textContent = text;
}

const numbers = new Intl.NumberFormat("en");

export function count(n, one, many = one + "s") {
  return `${numbers.format(n)} ${n === 1 ? one : many}`;
}

// The catalogue's prices are bare numbers. Another shop changes this line.
const money = new Intl.NumberFormat("en-US", { style: "currency", currency: "USD" });

export function price(amount) {
  return money.format(amount);
}
