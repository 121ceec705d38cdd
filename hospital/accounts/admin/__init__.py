"""What administrators see of accounts and of what binds them."""

from hospital.accounts.admin import allauths
from hospital.accounts.admin.emergency import EmergencyAdmin
from hospital.accounts.admin.policy import PolicyAdmin
from hospital.accounts.admin.staff import StaffAdmin

__all__ = ["EmergencyAdmin", "PolicyAdmin", "StaffAdmin", "allauths"]
