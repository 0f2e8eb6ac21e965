// What the page asks of MecaPy: always through its own Jupyter server, which adds the token.

import { ask } from "../../widget.js";

export interface Task {
  task_id: string;
  name: string;
  status: string;
  position?: number | null;
  eta_s?: number | null;
  why_there?: string;
  created_at?: string;
  started_at?: string;
  completed_at?: string;
  notebook?: string; // relative to the server's root
  cell?: string;
}

export interface Overview {
  message?: string; // instead of all else
  url: string;
  user: string;
  queued: number;
  running: number;
  pool: string;
  used: string;
  tasks: Task[];
  sweeps: { name: string; state: string; point_count: number }[];
}

/** Null where the server does not answer. */
export async function overview(): Promise<Overview | null> {
  return JSON.parse((await ask("GET", "mecapy/overview")) ?? "null");
}

export async function cancel(task: string): Promise<boolean> {
  return (await ask("POST", `mecapy/tasks/${task}/cancel`)) !== null;
}
