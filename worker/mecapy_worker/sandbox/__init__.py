"""How a child confines itself. Runs in the child; built once in the zygote."""
