// MecaPy's icon: a beam on two supports, bent by its load.

import { LabIcon } from "@jupyterlab/ui-components";

const SVG = `<svg xmlns="http://www.w3.org/2000/svg" width="16" viewBox="0 0 24 24"><g class="jp-icon3" fill="none" stroke="#616161" stroke-width="2" stroke-linecap="round" stroke-linejoin="round"><path d="M3 12 Q12 18 21 12"/><path d="M3 12 l-2 5 h4 z M21 12 l-2 5 h4 z"/><path d="M12 3 v8 M9 8 l3 3 l3 -3"/></g></svg>`;

export const icon = new LabIcon({ name: "mecapy-jupyter:icon", svgstr: SVG });
