declare module "*.css" {
  const text: string;
  export default text;
}

declare module "*/widget.js" {
  export function ask(method: string, path: string): Promise<string | null>;
  export function followTask(view: object, el: HTMLElement, ended: (html: string, text: string) => void): () => void;
}
