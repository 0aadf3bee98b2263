"""`python -m reproven`."""

from reproven.cli import main

if __name__ == "__main__":
    main(prog_name="reproven")
